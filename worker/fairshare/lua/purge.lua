--[[ purge: drop some of the jobs that wait in a lane; those in flight stay.
  KEYS[1]   lane
  ARGV[2]   cursor, '0' to begin          ARGV[3]  about how many jobs
  Returns   next cursor ('0' at the end), how many were dropped.          Cost  O(k log J). ]]
local lane = open(KEYS[1])
local found = call('HSCAN', lane.key .. ':body', ARGV[2], 'COUNT', ARGV[3])
local dropped = 0
for at = 1, #found[2], 2 do
  local job, body = found[2][at], cmsgpack.unpack(found[2][at + 1])
  local tenant = tenant_of(lane, body[1])
  if call('ZREM', tenant.queue, job) + call('ZREM', tenant.delayed, job)
    + call('ZREM', lane.key .. ':h:' .. tenant.name, job) > 0 then
    forget(lane, { job }, { job })
    dropped = dropped + 1
  end
end
for _, tenant in ipairs(lane.touched) do place(lane, tenant) end
close(lane)
return { found[1], dropped }
