"""Who may call: API keys and revoked tokens."""

revision = "0010"
down_revision = "0009"


def upgrade() -> None: ...


def downgrade() -> None: ...
