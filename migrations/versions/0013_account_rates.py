"""The rate of a gateway account has a least and a most, and is a number."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NAME = "ck_gateway_accounts_rate_in_range"
NAME_BEFORE = "ck_gateway_accounts_rate_positive"


def upgrade() -> None:
    """Bring every rate within the bounds, and keep them there."""
    # Neither infinity nor what is no number can be compared away: both are above every number.
    op.execute(
        "UPDATE gateway_accounts SET rate_per_second = LEAST(GREATEST(rate_per_second, 0.001),"
        " 100000), burst = LEAST(burst, 1000000)"
        " WHERE rate_per_second NOT BETWEEN 0.001 AND 100000 OR burst > 1000000"
    )
    op.drop_constraint(op.f(NAME_BEFORE), "gateway_accounts", type_="check")
    op.create_check_constraint(
        op.f(NAME),
        "gateway_accounts",
        "rate_per_second BETWEEN 0.001 AND 100000 AND burst BETWEEN 1 AND 1000000 AND tokens >= 0",
    )


def downgrade() -> None:
    """Let a rate be any number above zero."""
    op.drop_constraint(op.f(NAME), "gateway_accounts", type_="check")
    op.create_check_constraint(
        op.f(NAME_BEFORE),
        "gateway_accounts",
        "rate_per_second > 0 AND burst > 0 AND tokens >= 0",
    )
