--[[ reserve: lease the next jobs, each of the tenant that is furthest behind its share.
  KEYS[..]  lanes, in the order in which they are asked: one job each, round and round; then lanes that are not asked
  ARGV[2]   how many jobs at most          ARGV[3]  lease length, us
  ARGV[4]   guess for a kind never seen, us          ARGV[5]  limit of every step before the first job
  ARGV[6]   tries after which a job goes to the dead letters          ARGV[7]  how many lanes are asked
  ARGV[8]   leases that end first: JSON object from the index of a lane to what finish reads
  Returns   us until a look is worth while again (-1: only after the bell), then six for each job: index of its lane,
            token, job, tenant, tries, message.
  Cost      O(log T) a job, O(limit log J) before; never O(T) or O(J).
  Keeps     in flight <= max(cap, soft cap); a message is leased in the step that takes it out of its queue. ]]
local wanted, lease_time, guess = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local limit, max_tries, asked = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

-- After a silence (Redis was away, or every worker) live holders get the time of one renewal to come back.
local function listen(lane)
  local silence = max(lease_time / 2, 2000000)
  if lane.seen > 0 and NOW - lane.seen > silence then lane.grace = NOW + floor(lease_time / 3) end
  lane.seen = NOW
  if NOW >= lane.grace then restore(lane, limit, max_tries) end
end

local function promote(lane)
  for _, index in ipairs({ 'limited', 'due' }) do
    local names = call('ZRANGEBYSCORE', lane.key .. ':' .. index, '-inf', whole(NOW), 'LIMIT', 0, limit)
    for _, name in ipairs(names) do place(lane, tenant_of(lane, name)) end
  end
end

local function hand_out(lane, tenant, job, score)
  local body = cmsgpack.unpack(call('HGET', lane.key .. ':body', job))
  local token = whole(next_moment(lane))
  local charged = floor(average_of(lane, tenant, body[2], guess))
  local deadline = NOW + lease_time
  lane.v = max(lane.v, settled(tenant))
  charge(tenant, charged)
  tenant.guessed = tenant.guessed + charged
  if tenant.gap > 0 then tenant.tat = max(NOW, tenant.tat) + tenant.gap end
  append_pair(lane.leases, token, pack_lease({
    tenant = tenant.name, job = job, kind = body[2], score = score, start = NOW, charged = charged, boost = body[3],
    deadline = deadline, guessed = charged,
  }))
  append_pair(lane.deadlines, whole(deadline), token)
  tenant.running = running(tenant) + 1
  move(lane, tenant)
  append_pair(tenant.begun, whole(deadline), token)
  return token, body[4]
end

-- Put a job of a paused kind aside.
local function set_aside(lane, tenant, job, score)
  if not tenant.paused_kinds then return false end
  local kind = cmsgpack.unpack(call('HGET', lane.key .. ':body', job))[2]
  if not tenant.paused_kinds[kind] then return false end
  call('ZADD', lane.key .. ':h:' .. tenant.name, score, job)
  return true
end

local function take(lane, index, reply)
  for _ = 1, limit do
    local tenant = next_of(lane)
    if not tenant then return false end
    ripen(lane, tenant)
    local job, score = unpack(call('ZPOPMIN', tenant.queue))
    if job and tenant.waiting then tenant.waiting = tenant.waiting - 1 end
    if job and not set_aside(lane, tenant, job, score) then
      local token, message = hand_out(lane, tenant, job, tonumber(score))
      local tries = tonumber(has_tries(lane) and call('HGET', lane.key .. ':tries', job) or 0)
      for _, value in ipairs({ index, token, job, tenant.name, tries, message }) do append(reply, value) end
      return true
    end
    move(lane, tenant)
  end
  lane.ring = true -- more steps were needed than one call may take
  return false
end

local function earliest(lane, soonest)
  for index, floor_moment in pairs({ limited = 0, due = 0, leases = lane.grace }) do
    local first = call('ZRANGE', lane.key .. ':' .. index, 0, 0, 'WITHSCORES')
    if first[2] then soonest = min(soonest, max(0, max(first[2], floor_moment) - NOW)) end
  end
  return soonest
end

local ends = cjson.decode(ARGV[8])
local lanes, reply, open_lanes, taken = {}, { -1 }, {}, 0
for index, key in ipairs(KEYS) do
  local lane = open(key)
  local _, changed = finish(lane, ends[tostring(index)] or {}, max_tries)
  if index <= asked then
    lanes[index] = lane
    open_lanes[index] = true
    listen(lane)
    promote(lane)
    begin(lane, wanted)
  elseif changed then
    close(lane)
  end
end
local idle = 0
while taken < wanted and idle < #lanes do
  idle = 0
  for index, lane in ipairs(lanes) do
    if taken >= wanted then break end
    open_lanes[index] = open_lanes[index] and take(lane, index, reply)
    if open_lanes[index] then taken = taken + 1 else idle = idle + 1 end
  end
end

local soonest = NO_LIMIT
for index, lane in ipairs(lanes) do
  store(lane)
  if taken == 0 then
    if not lane.ring then call('DEL', lane.key .. ':bell') end
    soonest = earliest(lane, soonest)
  else
    lane.ring = lane.ring or open_lanes[index] and call('EXISTS', lane.key .. ':ready', lane.key .. ':burst') > 0
  end
  close(lane)
end
if soonest < NO_LIMIT then reply[1] = floor(soonest) end
return reply
