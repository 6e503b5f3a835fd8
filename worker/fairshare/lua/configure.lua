--[[ configure: change a tenant's settings, live, on the backlog it has.
  KEYS[1]   lane
  ARGV[2]   tenant          ARGV[3]  how many jobs put aside may come back at most
  ARGV[4]   JSON object with any of: weight, cap, soft_cap, max_backlog (a number, or false for no limit), gap and tau
            (us between two jobs and burst tolerance; gap 0 is no rate limit), paused (boolean), paused_kinds (array)
  Returns   how many jobs put aside remain to come back: call again with '{}' until 0.
  Cost      O(log T) and O(log J) for each job that comes back.
  Keeps     the lag: vt - V is scaled by old weight / new weight. ]]
local lane = open(KEYS[1])
local tenant = tenant_of(lane, ARGV[2])
local given = cjson.decode(ARGV[4])
call('SADD', lane.key .. ':tenants', tenant.name)

local function write(field, value)
  if value == false then
    call('HDEL', tenant.hash, field)
    tenant[field] = (field == 'gap' or field == 'tau') and 0 or NO_LIMIT
  else
    call('HSET', tenant.hash, field, whole(value))
    tenant[field] = value
  end
end

local weight = given.weight or tenant.weight
tenant.vt = lane.v + (tenant.vt - lane.v) * tenant.weight / weight
tenant.weight = weight
call('HSET', tenant.hash, 'weight', weight)
for _, field in ipairs({ 'cap', 'soft_cap', 'gap', 'tau', 'max_backlog' }) do
  if given[field] ~= nil then write(field, given[field]) end
end
if given.paused ~= nil then
  tenant.paused = given.paused
  call('HSET', tenant.hash, 'paused', given.paused and '1' or '0')
end
if given.paused_kinds then
  tenant.paused_kinds = {}
  for _, kind in ipairs(given.paused_kinds) do tenant.paused_kinds[kind] = true end
  call('HSET', tenant.hash, 'paused_kinds', next(tenant.paused_kinds) and cjson.encode(tenant.paused_kinds) or '')
end

-- Jobs that were put aside all come back: those of a kind that is still paused are put aside again in their turn.
local aside = lane.key .. ':h:' .. tenant.name
local back = call('ZRANGE', aside, 0, ARGV[3] - 1, 'WITHSCORES')
for at = 1, #back, 2 do
  call('ZREM', aside, back[at])
  call('ZADD', tenant.queue, back[at + 1], back[at])
end
place(lane, tenant)
close(lane)
return call('ZCARD', aside)
