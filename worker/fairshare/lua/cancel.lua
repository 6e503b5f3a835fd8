--[[ cancel: take jobs that wait out of the queue.
  KEYS[1]   lane
  ARGV[2..] jobs
  Returns   for each job 1 cancelled, 0 running, -1 not here.          Cost  O(log J) each. ]]
local lane = open(KEYS[1])

local function cancel(job)
  local raw = call('HGET', lane.key .. ':body', job)
  if not raw then return -1 end
  local body = cmsgpack.unpack(raw)
  local tenant = tenant_of(lane, body[1])
  local waited = call('ZREM', tenant.queue, job) + call('ZREM', tenant.delayed, job)
    + call('ZREM', lane.key .. ':h:' .. tenant.name, job)
  if waited == 0 then return 0 end
  forget(lane, { job }, { job })
  return 1
end

local results = {}
for at = 2, #ARGV do results[#results + 1] = cancel(ARGV[at]) end
for _, tenant in ipairs(lane.touched) do place(lane, tenant) end
close(lane)
return results
