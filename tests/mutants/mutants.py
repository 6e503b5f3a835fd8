"""Ways to break the queue, each of which the random histories must notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One change to one script."""

    name: str
    script: str
    old: str
    new: str


MUTANTS = (
    Mutant("finish forgets to place", "ending", "        place(lane, tenant)\n", ""),
    Mutant(
        "who enters is measured before those that stand there moved",
        "ending",
        "ipairs({ true, false })",
        "ipairs({ false, true })",
    ),
    Mutant(
        "cancel forgets to place",
        "cancel",
        "for _, tenant in ipairs(lane.touched) do place(lane, tenant) end",
        "",
    ),
    Mutant("reserve forgets to place", "reserve", "  move(lane, tenant)\n  append_pair", "  append_pair"),
    Mutant(
        "a move is not written",
        "order",
        "append_pair(standing[tenant.at], exact(tenant.vt), tenant.name)",
        "",
    ),
    Mutant("a lease is not in flight", "order", "    call_on('ZADD', tenant.flight, tenant.begun)\n", ""),
    Mutant("who leaves the order is not placed", "order", "  else\n    place(lane, tenant)\n", ""),
    Mutant(
        "who is lent a slot stays in ready",
        "order",
        "      call('ZREM', lane.key .. ':' .. tenant.at, tenant.name)\n",
        "",
    ),
    Mutant(
        "what was read is never read anew", "order", "  if lane.steps == 0 then", "  if not lane.ready then"
    ),
    Mutant("in flight is counted once for all", "reserve", "  tenant.running = running(tenant) + 1\n", ""),
    Mutant(
        "what waits is counted once for all",
        "reserve",
        "tenant.waiting = tenant.waiting - 1",
        "tenant.waiting = tenant.waiting",
    ),
    Mutant("ends that reserve brings are dropped", "reserve", "ends[tostring(index)] or {}", "{}"),
    Mutant(
        "the bell does not tell of more",
        "reserve",
        "lane.ring = lane.ring or open",
        "lane.ring = lane.ring and open",
    ),
    Mutant("ripe jobs are not counted", "lane", "  tenant.waiting = nil\nend", "end"),
    Mutant("renew forgets to place", "renew", "  place(lane, tenant)\n", ""),
    Mutant("configure forgets to place", "configure", "place(lane, tenant)\nclose", "close"),
    Mutant(
        "a drained tenant loses its tag",
        "lane",
        "tenant.vt = max(tenant.vt, lane.v + lane.entries / 1000)",
        "tenant.vt = lane.v + lane.entries / 1000",
    ),
    Mutant(
        "idling earns credit",
        "lane",
        "tenant.vt = max(tenant.vt, lane.v + lane.entries / 1000)",
        "",
    ),
    Mutant(
        "debt is floored",
        "lane",
        "lane.v + 1 + (DEBT_WINDOW + tenant.guessed) / tenant.weight",
        "lane.v + 1",
    ),
    Mutant(
        "debt has no bound",
        "lane",
        "  tenant.vt = min(tenant.vt, lane.v + 1 + (DEBT_WINDOW + tenant.guessed) / tenant.weight)\n",
        "",
    ),
    Mutant("jobs are counted, not time", "ending", "  charge(tenant, used - lease.charged)\n", ""),
    Mutant("the weight is ignored", "lane", "tenant.vt + time / tenant.weight", "tenant.vt + time"),
    Mutant("time used is not summed", "lane", "  tenant.used = tenant.used + time\n", ""),
    Mutant(
        "a second finish counts again",
        "ending",
        "  call_on('HDEL', lane.key .. ':lease', gone.tokens)\n",
        "",
    ),
    Mutant("one call ends a lease twice", "ending", "    leases[token] = nil\n", ""),
    Mutant("a lease stays in flight", "ending", "        call_on('ZREM', tenant.flight, tenant.ended)\n", ""),
    Mutant("the soft cap is skipped", "lane", "if running(tenant) < tenant.soft_cap then", "if true then"),
    Mutant("the cap is skipped", "lane", "if running(tenant) < tenant.cap then", "if true then"),
    Mutant(
        "the cap is off by one",
        "lane",
        "if running(tenant) < tenant.cap then",
        "if running(tenant) <= tenant.cap then",
    ),
    Mutant(
        "recovery is held up by the cap",
        "ending",
        "    append(ends, { token, 'lost', -1, 0 })",
        """    local held = tenant_of(lane, unpack_lease(call('HGET', lane.key .. ':lease', token)).tenant)
    if call('ZCARD', held.flight) < held.cap then append(ends, { token, 'lost', -1, 0 }) end""",
    ),
    Mutant(
        "a lost job goes to the end",
        "ending",
        "call('ZADD', tenant.queue, whole(lease.score), lease.job)",
        "call('ZADD', tenant.queue, whole(next_moment(lane)), lease.job)",
    ),
    Mutant(
        "a lost job costs nothing", "ending", "if outcome == 'unstarted' then", "if outcome == 'lost' then"
    ),
    Mutant("what never began is charged", "ending", "    used = 0\n    tenant.tat", "    tenant.tat"),
    Mutant(
        "what never began counts for the rate limit",
        "ending",
        "    tenant.tat = max(0, tenant.tat - tenant.gap)\n",
        "",
    ),
    Mutant(
        "a lost job is charged beyond its deadline",
        "ending",
        "longest = max(0, min(NOW, lease.deadline) - lease.start)",
        "longest = max(0, NOW - lease.start)",
    ),
    Mutant(
        "tries are not counted",
        "ending",
        "':tries', lease.job, 1) >= max_tries",
        "':tries', lease.job, 0) >= 99",
    ),
    Mutant(
        "a guess moves V", "lane", "return tenant.vt - tenant.guessed / tenant.weight", "return tenant.vt"
    ),
    Mutant(
        "guesses stay after the job",
        "ending",
        "  tenant.guessed = max(0, tenant.guessed - lease.guessed)\n",
        "",
    ),
    Mutant(
        "averages are not learned", "ending", "then learn(lane, tenant, lease.kind, used) end", "then end"
    ),
    Mutant("a pause is ignored", "lane", "  if tenant.paused then return nil end\n", ""),
    Mutant("the rate limit is ignored", "lane", "if tenant.gap > 0 and", "if false and"),
    Mutant(
        "nobody is woken",
        "lane",
        "  lane.ring = true\nend\n\nlocal function place",
        "end\n\nlocal function place",
    ),
    Mutant(
        "a head start is lost by waiting", "lane", "whole(due[2 * i] - (boosts[i] or 0))", "whole(due[2 * i])"
    ),
    Mutant("ties go by name", "lane", "lane.entries = (lane.entries + 1) % 1000", "lane.entries = 0"),
    Mutant(
        "an old place is not left",
        "lane",
        "  if tenant.at ~= '' and tenant.at ~= where then",
        "  if false then",
    ),
    Mutant("V can fall", "reserve", "lane.v = max(lane.v, settled(tenant))", "lane.v = settled(tenant)"),
    Mutant("nothing is charged ahead", "reserve", "  charge(tenant, charged)\n", ""),
    Mutant(
        "the rate limit does not advance",
        "reserve",
        "tenant.tat = max(NOW, tenant.tat) + tenant.gap",
        "tenant.tat = tenant.tat",
    ),
    Mutant(
        "slots are lent before they are idle",
        "order",
        "first_of(lane.ready) or first_of(lane.burst)",
        "first_of(lane.burst) or first_of(lane.ready)",
    ),
    Mutant("idle slots are never lent", "order", " or first_of(lane.burst)", ""),
    Mutant(
        "burst is not read",
        "order",
        "count < lane.window and first_in(lane, 'burst', lane.window) or {}",
        "{}",
    ),
    Mutant("delayed jobs are forgotten", "reserve", "{ 'limited', 'due' }", "{ 'limited' }"),
    Mutant("the rate limit never opens", "reserve", "{ 'limited', 'due' }", "{ 'due' }"),
    Mutant(
        "expired leases are forgotten",
        "reserve",
        "if NOW >= lane.grace then restore",
        "if false then restore",
    ),
    Mutant(
        "no grace after a silence", "reserve", "if NOW >= lane.grace then restore", "if true then restore"
    ),
    Mutant(
        "a paused kind runs",
        "reserve",
        "  if not tenant.paused_kinds[kind] then return false end",
        "  if true then return false end",
    ),
    Mutant("renewing does not extend", "renew", "max(lease.deadline, NOW + ARGV[2])", "lease.deadline"),
    Mutant("renewing charges twice", "renew", "    lease.charged = used\n", ""),
    Mutant("renewing charges nothing", "renew", "if used > lease.charged then", "if false then"),
    Mutant("a job can be queued twice", "enqueue", "== 1 then return 0 end", "== 2 then return 0 end"),
    Mutant(
        "a full backlog takes more",
        "enqueue",
        "  if ARGV[at + 5] ~= '1' and is_full(tenant) then return -1 end\n",
        "",
    ),
    Mutant("a retry is refused", "enqueue", "if ARGV[at + 5] ~= '1' and is_full", "if is_full"),
    Mutant(
        "a head start is ignored", "enqueue", "whole(next_moment(lane) - boost)", "whole(next_moment(lane))"
    ),
    Mutant(
        "a known tenant's settings are overwritten",
        "enqueue",
        "if not tenant.exists then create",
        "if true then create",
    ),
    Mutant("a delayed job runs at once", "enqueue", "if due > NOW then", "if false then"),
    Mutant(
        "re-weighting forgets the lag",
        "configure",
        "tenant.weight / weight\ntenant.weight",
        "1\ntenant.weight",
    ),
    Mutant(
        "what was put aside never comes back",
        "configure",
        "0, ARGV[3] - 1, 'WITHSCORES'",
        "1, 0, 'WITHSCORES'",
    ),
    Mutant("a cancelled job leaves its message", "cancel", "  forget(lane, { job }, { job })\n", ""),
    Mutant("cancelling takes what runs", "cancel", "if waited == 0 then return 0 end", ""),
    Mutant("a stranger is known", "standing", "tenant.exists and 1 or 0", "1"),
    Mutant("delayed jobs stand as waiting", "standing", "call('ZCARD', tenant.delayed),", "0,"),
    Mutant("what was put aside is not told", "standing", "call('ZCARD', key .. ':h:' .. tenant.name)", "0"),
    Mutant("what is in flight is not told", "standing", "call('ZCARD', tenant.flight)", "0"),
    Mutant(
        "the youngest is told as the oldest", "standing", "'ZRANGE', key, 0, 0,", "'ZRANGE', key, -1, -1,"
    ),
    Mutant("unknown kinds pull the average down", "standing", "if run > 0 then", "if true then"),
    Mutant("one job more is looked at", "standing", "0, ARGV[3] - 1)", "0, ARGV[3])"),
    Mutant("a pause is not told", "standing", "tenant.paused and 1 or 0", "0"),
    Mutant("paused kinds are not told", "standing", "tenant.paused_kinds and cjson", "false and cjson"),
    Mutant("time used is not told", "standing", "whole(tenant.used)", "0"),
    Mutant("the place is not told", "standing", "'', tenant.at,", "'', '',"),
    Mutant("what is delayed seems to run", "explain", "return 'delayed', tonumber(due) end", "end"),
    Mutant("what runs seems to wait", "explain", "then return 'running', 0 end", "then end"),
    Mutant("a kind's pause is not explained", "explain", "then return 'kind_paused', 0 end", "then end"),
    Mutant("a pause is not explained", "explain", "  if tenant.paused then return 'paused', 0 end\n", ""),
    Mutant("a limit is not explained", "explain", "if where == 'limited' then", "if false then"),
    Mutant("a cap is not explained", "explain", "where and 'turn' or 'capped'", "'turn'"),
    Mutant("those in burst seem to be first", "explain", "call('ZCARD', lane.key .. ':ready') + ", "0 + "),
    Mutant("stats forget what is in flight", "stats", "call('ZCARD', tenant.flight)", "0"),
    Mutant("stats forget what was put aside", "stats", "call('ZCARD', lane.key .. ':h:' .. name),", "0,"),
    Mutant(
        "the audit looks at the tag alone",
        "audit",
        "~= (index == where) then",
        "~= (index == where) and false then",
    ),
    Mutant("the audit ignores scores", "audit", "> 0.01 then", "> 1e18 then"),
    Mutant(
        "the audit passes who is ripe",
        "audit",
        "then where, score = tenant.at, tonumber(moment) end",
        "then return false end",
    ),
    Mutant("the repair forgets to place", "audit", "      place(lane, tenant)\n", ""),
    Mutant("a purge leaves what is delayed", "purge", " + call('ZREM', tenant.delayed, job)", ""),
    Mutant("a purge leaves messages", "purge", "    forget(lane, { job }, { job })\n", ""),
    Mutant("a purge forgets to place", "purge", "do place(lane, tenant) end", "do end"),
    Mutant(
        "a destroyed lane keeps its tenants",
        "destroy",
        "{ 't', 'q', 'd', 'f', 'h' }",
        "{ 'q', 'd', 'f', 'h' }",
    ),
    Mutant("a destroyed lane keeps its dead letters", "destroy", "'dead', ", ""),
)
