# One image for every process; the command chooses which. See docker-compose.yml.

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

FROM python:3.12-slim
ENV PATH=/opt/genius/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 --no-create-home --home-dir /srv/genius genius
COPY --from=build /opt/genius /opt/genius
COPY --from=build /srv/genius /srv/genius
WORKDIR /srv/genius
USER genius
EXPOSE 8000
CMD ["uvicorn", "intake.app:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--no-server-header"]
