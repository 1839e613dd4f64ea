"""Of a Secret that was changed since it was made, and knows no giver, nobody is taken for one.

Whoever made it may have made it with a value of their own, and may point with what they gave.
"""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE secret SET value_by = '' WHERE value_by IS NULL AND version > 1")


def downgrade() -> None:
    op.execute("UPDATE secret SET value_by = NULL WHERE value_by = ''")
