--[[ stats: what some tenants of a lane have and got.
  KEYS[1]   lane
  ARGV[2]   cursor, '0' to begin          ARGV[3]  about how many tenants
  Returns   next cursor ('0' at the end), jobs in flight in the lane, then ten for each tenant: name, weight, waiting, delayed,
            in flight, moment its oldest waiting job was queued (us, 0 none), worker time charged (us), virtual time (us),
            place (ready, burst, limited, due or ''), put aside.
  Cost      O(k log J).          Keeps  everything: it only reads. ]]
local lane = open(KEYS[1])
local found = call('SSCAN', lane.key .. ':tenants', ARGV[2], 'COUNT', ARGV[3])
local reply = { found[1], call('ZCARD', lane.key .. ':leases') }
for _, name in ipairs(found[2]) do
  local tenant = tenant_of(lane, name)
  local oldest = call('ZRANGE', tenant.queue, 0, 0, 'WITHSCORES')[2] or '0'
  for _, value in ipairs({
    name, tostring(tenant.weight), call('ZCARD', tenant.queue), call('ZCARD', tenant.delayed), call('ZCARD', tenant.flight),
    whole(oldest), whole(tenant.used), exact(tenant.vt), tenant.at, call('ZCARD', lane.key .. ':h:' .. name),
  }) do reply[#reply + 1] = value end
end
return reply
