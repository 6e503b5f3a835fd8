--[[ renew: keep leases, and charge what their jobs have used so far, so that a long job is felt while it runs.
  KEYS[1]   lane
  ARGV[2]   lease length, us
  ARGV[3..] two for each lease: token, worker time used so far (us; -1 is since the lease began)
  Returns   for each lease 1 kept, 0 lost.
  Cost      O(log J + log T) a lease.
  Keeps     a charge is never taken back before the job ends. ]]
local lane = open(KEYS[1])
lane.seen = NOW

local function renew(token, used)
  local raw = call('HGET', lane.key .. ':lease', token)
  if not raw then return 0 end
  local lease = unpack_lease(raw)
  local tenant = tenant_of(lane, lease.tenant)
  local longest = max(0, NOW - lease.start)
  used = (used < 0 or used > longest) and longest or used
  if used > lease.charged then
    charge(tenant, used - lease.charged)
    lease.charged = used
    tenant.guessed = max(0, tenant.guessed - lease.guessed)
    lease.guessed = 0
  end
  lease.deadline = max(lease.deadline, NOW + ARGV[2])
  call('HSET', lane.key .. ':lease', token, pack_lease(lease))
  call('ZADD', lane.key .. ':leases', whole(lease.deadline), token)
  call('ZADD', tenant.flight, whole(lease.deadline), token)
  place(lane, tenant)
  return 1
end

local results = {}
for at = 3, #ARGV, 2 do results[#results + 1] = renew(ARGV[at], tonumber(ARGV[at + 1])) end
close(lane)
return results
