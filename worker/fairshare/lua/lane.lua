--[[ lane: what every verb shares; it is put before each verb when the script is loaded.
  KEYS[i]   key of a lane, "{fair:<lane>}"; every key of a lane begins with it, so all share one hash slot
  ARGV[1]   the moment, us since 1970; '' is the server's clock
  Units     whole microseconds; virtual time (vt, V) to the nanosecond, since it is divided by weights
  Keeps     a tenant is in at most one of ready, burst, limited, due, and there if and only if it should be;
            V never falls; place() is the only writer of these four.
  Source    docs/fairness.md. ]]
local call, format, floor, max, min = redis.call, string.format, math.floor, math.max, math.min
local NO_LIMIT = 2 ^ 52
local DEBT_WINDOW = 60000000 -- us of worker time a tenant can owe when it comes back
local RIPEN_LIMIT = 64 -- delayed jobs of one tenant moved in one step
local PART = 1000 -- values in one command, an even number: Lua's stack holds 8,000

local function whole(number) return format('%.0f', number) end
local function exact(number) return format('%.3f', number) end

local function moment()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end
local NOW = moment()

local function open(key)
  local clock = call('HMGET', key .. ':clock', 'v', 'seq', 'seen', 'grace', 'entries')
  return {
    key = key,
    hash = key .. ':clock',
    v = tonumber(clock[1] or 0),
    seq = tonumber(clock[2] or 0),
    seen = tonumber(clock[3] or 0),
    grace = tonumber(clock[4] or 0),
    entries = tonumber(clock[5] or 0),
    tenants = {},
    touched = {}, -- the same in the order they were met, so that a script does the same everywhere
    averages = {},
    learned = {},
    ring = false,
  }
end

-- Run one command on many values; a command has a price of its own.
local function call_on(command, key, values)
  for at = 1, #values, PART do call(command, key, unpack(values, at, min(at + PART - 1, #values))) end
end

local function append(list, value) list[#list + 1] = value end

local function append_pair(list, first, second)
  local count = #list
  list[count + 1], list[count + 2] = first, second
end

-- Add what was learned to the fields that are to be written.
local function with_averages(owner, fields)
  for _, field in ipairs(owner.learned) do append_pair(fields, field, exact(owner.averages[field])) end
  return fields
end

-- A tenant changes many times in one script and is written once.
local function save(tenant)
  call('HSET', tenant.hash, unpack(with_averages(tenant, { 'vt', exact(tenant.vt), 'at', tenant.at, 'used',
    whole(tenant.used), 'tat', whole(tenant.tat), 'guessed', whole(tenant.guessed) })))
end

local function close(lane)
  for _, tenant in ipairs(lane.touched) do
    if tenant.changed then save(tenant) end
  end
  local fields = { 'v', exact(lane.v), 'seq', whole(lane.seq), 'seen', whole(lane.seen), 'grace', whole(lane.grace),
    'entries', lane.entries }
  with_averages(lane, fields)
  call('HSET', lane.hash, unpack(fields))
  if lane.ring and call('LLEN', lane.key .. ':bell') == 0 then call('RPUSH', lane.key .. ':bell', 1) end
end

-- A moment that no other enqueue or lease of this lane has.
local function next_moment(lane)
  lane.seq = max(NOW, lane.seq + 1)
  return lane.seq
end

local function tenant_of(lane, name)
  local known = lane.tenants[name]
  if known then return known end
  local hash = lane.key .. ':t:' .. name
  local read = call('HMGET', hash, 'weight', 'cap', 'soft_cap', 'gap', 'tau', 'tat', 'paused', 'vt', 'at',
    'used', 'max_backlog', 'paused_kinds', 'guessed')
  local tenant = {
    name = name,
    exists = read[1] ~= false,
    hash = hash,
    queue = lane.key .. ':q:' .. name,
    delayed = lane.key .. ':d:' .. name,
    flight = lane.key .. ':f:' .. name,
    weight = tonumber(read[1] or 1),
    cap = tonumber(read[2] or NO_LIMIT),
    soft_cap = tonumber(read[3] or NO_LIMIT),
    gap = tonumber(read[4] or 0),
    tau = tonumber(read[5] or 0),
    tat = tonumber(read[6] or 0),
    paused = read[7] == '1',
    vt = tonumber(read[8] or 0),
    at = read[9] or '',
    used = tonumber(read[10] or 0),
    max_backlog = tonumber(read[11] or NO_LIMIT),
    paused_kinds = read[12] and read[12] ~= '' and cjson.decode(read[12]) or false,
    guessed = tonumber(read[13] or 0), -- worker time charged ahead for jobs in flight, not yet known to be true
    averages = {},
    learned = {},
  }
  lane.tenants[name] = tenant
  lane.touched[#lane.touched + 1] = tenant
  return tenant
end

-- A tenant's jobs that wait and that are in flight, counted once: who changes them keeps the count, or forgets it.
local function waiting(tenant)
  tenant.waiting = tenant.waiting or call('ZCARD', tenant.queue)
  return tenant.waiting
end

local function running(tenant)
  tenant.running = tenant.running or call('ZCARD', tenant.flight)
  return tenant.running
end

-- Where a tenant belongs now, and with which score; nil if it may not run.
local function belongs(tenant)
  if tenant.paused then return nil end
  if waiting(tenant) == 0 then
    local first = call('ZRANGE', tenant.delayed, 0, 0, 'WITHSCORES')
    if not first[1] then return nil end
    if tonumber(first[2]) > NOW then return 'due', tonumber(first[2]) end
  end
  if tenant.gap > 0 and tenant.tat - tenant.tau > NOW then return 'limited', tenant.tat - tenant.tau end
  if running(tenant) < tenant.cap then return 'ready' end
  if running(tenant) < tenant.soft_cap then return 'burst' end
  return nil
end

-- What a tenant got for certain: a guess that turns out too long must not move V, which never falls.
local function settled(tenant) return tenant.vt - tenant.guessed / tenant.weight end

-- Entering from idle or blocked: no credit for the absence, debt kept up to the window. Equal times are
-- ordered by arrival, not by name.
local function enter(lane, tenant)
  local first = call('ZRANGE', lane.key .. ':ready', 0, 0)[1]
  if first then lane.v = max(lane.v, settled(tenant_of(lane, first))) end
  lane.entries = (lane.entries + 1) % 1000
  tenant.vt = max(tenant.vt, lane.v + lane.entries / 1000)
  tenant.vt = min(tenant.vt, lane.v + 1 + (DEBT_WINDOW + tenant.guessed) / tenant.weight)
  lane.ring = true
end

local function place(lane, tenant)
  local where, score = belongs(tenant)
  if where == 'ready' or where == 'burst' then
    if tenant.at ~= 'ready' and tenant.at ~= 'burst' then enter(lane, tenant) end
    score = tenant.vt
  end
  if tenant.at ~= '' and tenant.at ~= where then call('ZREM', lane.key .. ':' .. tenant.at, tenant.name) end
  if where then call('ZADD', lane.key .. ':' .. where, exact(score), tenant.name) end
  -- Who waits for the bell looks again when the next moment comes: it must learn of an earlier one.
  if where == 'due' or where == 'limited' then
    lane.ring = lane.ring or call('ZRANK', lane.key .. ':' .. where, tenant.name) == 0
  end
  tenant.at = where or ''
  tenant.changed = true
end

local function charge(tenant, time)
  tenant.vt = tenant.vt + time / tenant.weight
  tenant.used = tenant.used + time
end

-- The average of one owner, a tenant or the lane; false if nothing is known.
local function known_average(owner, field)
  local known = owner.averages[field]
  if known == nil then
    known = call('HGET', owner.hash, field)
    known = known and tonumber(known)
    owner.averages[field] = known
  end
  return known
end

local function average_of(lane, tenant, kind, default)
  local field = 'e:' .. kind
  return known_average(tenant, field) or known_average(lane, field) or default
end

local function learn_of(owner, field, used)
  local old = known_average(owner, field)
  owner.averages[field] = old and old + (used - old) / 8 or used
  if not owner.learned[field] then
    owner.learned[field] = true
    append(owner.learned, field)
  end
end

local function learn(lane, tenant, kind, used)
  learn_of(tenant, 'e:' .. kind, used)
  learn_of(lane, 'e:' .. kind, used)
end

local function unpack_lease(raw)
  local read = cmsgpack.unpack(raw)
  return {
    tenant = read[1], job = read[2], kind = read[3], score = read[4], start = read[5], charged = read[6],
    boost = read[7], deadline = read[8], guessed = read[9],
  }
end

local function pack_lease(lease)
  return cmsgpack.pack({
    lease.tenant, lease.job, lease.kind, lease.score, lease.start, lease.charged, lease.boost, lease.deadline,
    lease.guessed,
  })
end

-- Whether any job of the lane was lost or retried: mostly none, and then there is nothing to look up job by job.
local function has_tries(lane)
  if lane.has_tries == nil then lane.has_tries = call('EXISTS', lane.key .. ':tries') == 1 end
  return lane.has_tries
end

local function forget(lane, jobs, boosted)
  call_on('HDEL', lane.key .. ':body', jobs)
  if has_tries(lane) then call_on('HDEL', lane.key .. ':tries', jobs) end
  call_on('HDEL', lane.key .. ':boost', boosted)
end

-- Move at most RIPEN_LIMIT of a tenant's delayed jobs that came due into its queue.
local function ripen(lane, tenant)
  if tenant.ripe then return end
  local due = call('ZRANGEBYSCORE', tenant.delayed, '-inf', whole(NOW), 'WITHSCORES', 'LIMIT', 0, RIPEN_LIMIT)
  tenant.ripe = #due < 2 * RIPEN_LIMIT
  if not due[1] then return end
  local jobs, entries = {}, {}
  for i = 1, #due, 2 do append(jobs, due[i]) end
  local boosts = call('HMGET', lane.key .. ':boost', unpack(jobs))
  for i, job in ipairs(jobs) do
    append_pair(entries, whole(due[2 * i] - (boosts[i] or 0)), job)
  end
  call('ZREM', tenant.delayed, unpack(jobs))
  call('ZADD', tenant.queue, unpack(entries))
  tenant.waiting = nil
end
