# One image for every process; the command chooses which. See docker-compose.yml and deploy/kubernetes.

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/genius
RUN python -m venv /opt/genius
# What we depend on changes less often than what we write: a layer of its own, at the locked versions.
COPY pyproject.toml requirements.lock ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
      > /tmp/wanted.txt \
 && /opt/genius/bin/pip install --constraint requirements.lock --requirement /tmp/wanted.txt setuptools
COPY . .
RUN /opt/genius/bin/pip install --no-deps --no-build-isolation --editable . \
 && /opt/genius/bin/python -m compileall -q /srv/genius

FROM python:3.12-slim AS application
# Nothing is written below the root: what is compiled stands ready, and /tmp is mounted.
ENV PATH=/opt/genius/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
RUN groupadd --gid 10001 genius \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /srv/genius --shell /usr/sbin/nologin genius \
 && install --directory --owner=genius --group=genius /var/lib/genius/media /var/lib/genius/flower /backups
COPY --from=build /opt/genius /opt/genius
COPY --from=build /srv/genius /srv/genius
WORKDIR /srv/genius
USER 10001:10001
EXPOSE 8000
CMD ["uvicorn", "intake.app:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--no-server-header", \
     "--timeout-graceful-shutdown", "20"]

# For `genius backup` and `genius restore`: the same, with the client programs of Postgres' own packages.
FROM application AS tools
USER root
RUN apt-get update \
 && apt-get install --yes --no-install-recommends postgresql-common ca-certificates \
 && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
 && apt-get install --yes --no-install-recommends postgresql-client-18 \
 && rm -rf /var/lib/apt/lists/*
USER 10001:10001

# What `docker build` makes when it is not told which.
FROM application
