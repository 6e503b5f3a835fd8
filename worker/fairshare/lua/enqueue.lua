--[[ enqueue: put jobs into their tenants' queues.
  KEYS[1]   lane
  ARGV[2..] eight for each job: job, tenant, kind, due (us since 1970; 0 is now), boost (head start inside the
            tenant, us), must ('1': never refuse), settings (JSON object for a tenant not known yet, or ''), message
  Returns   for each job 1 queued, 0 already there, -1 the tenant's backlog is full.
  Cost      O(log J) a job; one place a tenant.
  Keeps     a job is in exactly one of q, d, in flight; a known tenant's settings are not changed. ]]
local lane = open(KEYS[1])

local function limit_of(value) return type(value) == 'number' and value or nil end

local function create(tenant, settings)
  local given = settings ~= '' and cjson.decode(settings) or {}
  tenant.exists = true
  tenant.weight = limit_of(given.weight) or 1
  call('HSET', tenant.hash, 'weight', tenant.weight)
  for _, field in ipairs({ 'cap', 'soft_cap', 'gap', 'tau', 'max_backlog' }) do
    local value = limit_of(given[field])
    if value then
      tenant[field] = value
      call('HSET', tenant.hash, field, whole(value))
    end
  end
  call('SADD', lane.key .. ':tenants', tenant.name)
end

local function is_full(tenant)
  if tenant.max_backlog >= NO_LIMIT then return false end
  return call('ZCARD', tenant.queue) + call('ZCARD', tenant.delayed) >= tenant.max_backlog
end

local function put(at)
  local job, tenant, kind, message = ARGV[at], tenant_of(lane, ARGV[at + 1]), ARGV[at + 2], ARGV[at + 7]
  local due, boost = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  if call('HEXISTS', lane.key .. ':body', job) == 1 then return 0 end
  if not tenant.exists then create(tenant, ARGV[at + 6]) end
  if ARGV[at + 5] ~= '1' and is_full(tenant) then return -1 end
  call('HSET', lane.key .. ':body', job, cmsgpack.pack({ tenant.name, kind, boost, message }))
  if boost ~= 0 then call('HSET', lane.key .. ':boost', job, whole(boost)) end
  if due > NOW then
    call('ZADD', tenant.delayed, whole(due), job)
  else
    call('ZADD', tenant.queue, whole(next_moment(lane) - boost), job)
  end
  return 1
end

local results = {}
for at = 2, #ARGV, 8 do results[#results + 1] = put(at) end
for _, tenant in ipairs(lane.touched) do
  if tenant.exists then place(lane, tenant) end
end
close(lane)
return results
