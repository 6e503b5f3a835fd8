"""The rules an organization has until it writes its own."""

from tasks.scoring_rules import DEFAULT_VERSION, EventRule, FieldRule, Operator, RuleSet

_FREE_MAIL = ("@gmail.", "@yahoo.", "@hotmail.", "@outlook.", "@aol.", "@icloud.", "@proton.", "@gmx.")
_DECIDERS = ("chief", "founder", "owner", "president", "director", "head of", "vp ", "manager")
_STRONG_SOURCES = ("referral", "reference", "partner", "event", "welingak website", "direct traffic")
_MANY_PAGES = 5
_LONG_VISIT_SECONDS = 600

DEFAULT_RULES = RuleSet(
    version=DEFAULT_VERSION,
    fit=(
        FieldRule(
            key="phone", label="Gave a phone number", field="phone", operator=Operator.PRESENT, points=5
        ),
        FieldRule(
            key="company", label="Names a company", field="company", operator=Operator.PRESENT, points=10
        ),
        FieldRule(
            key="decider",
            label="Job title of someone who decides",
            field="job_title",
            operator=Operator.CONTAINS,
            values=_DECIDERS,
            points=15,
        ),
        FieldRule(
            key="source",
            label="Came through a strong source",
            field="source",
            operator=Operator.ONE_OF,
            values=_STRONG_SOURCES,
            points=10,
        ),
        FieldRule(
            key="working",
            label="Is in work",
            field="occupation",
            operator=Operator.CONTAINS,
            values=("working professional", "businessman"),
            points=15,
        ),
        FieldRule(
            key="long_visit",
            label="Spent ten minutes or more on the website",
            field="seconds_on_site",
            operator=Operator.AT_LEAST,
            values=(_LONG_VISIT_SECONDS,),
            points=20,
        ),
        FieldRule(
            key="many_visits",
            label="Visited five times or more",
            field="visits",
            operator=Operator.AT_LEAST,
            values=(_MANY_PAGES,),
            points=5,
        ),
        FieldRule(
            key="free_mail",
            label="Writes from a free mail address",
            field="email",
            operator=Operator.CONTAINS,
            values=_FREE_MAIL,
            points=-5,
        ),
        FieldRule(
            key="no_email",
            label="Asked for no e-mail",
            field="do_not_email",
            operator=Operator.ONE_OF,
            values=(True, "yes", "true"),
            points=-15,
        ),
    ),
    engagement=(
        EventRule(key="demo", label="Asked for a demo", event="demo_requested", points=30, half_life_days=30),
        EventRule(
            key="form",
            label="Sent a form",
            event="form_submitted",
            points=20,
            half_life_days=30,
            daily_cap=40,
        ),
        EventRule(key="pricing", label="Looked at prices", event="pricing_viewed", points=10, daily_cap=20),
        EventRule(key="click", label="Clicked in an e-mail", event="email_clicked", points=5, daily_cap=15),
        EventRule(
            key="open",
            label="Opened an e-mail",
            event="email_opened",
            points=2,
            half_life_days=7,
            daily_cap=6,
        ),
        EventRule(
            key="page", label="Viewed a page", event="page_viewed", points=1, half_life_days=7, daily_cap=10
        ),
        EventRule(key="chat", label="Had a chat", event="chat_started", points=8, daily_cap=16),
        EventRule(key="call", label="Took a phone call", event="call_answered", points=15, half_life_days=21),
        EventRule(
            key="unsubscribed", label="Unsubscribed", event="unsubscribed", points=-30, half_life_days=180
        ),
    ),
)
"""Every field is looked up in the lead's own columns first, then in its attributes."""
