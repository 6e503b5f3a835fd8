"""The order of the list of posts."""

from alembic import op

from migrations.online import create_index

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    create_index("ix_social_posts_by_created_at", "social_posts", ["organization_id", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_social_posts_by_created_at", "social_posts")
