--[[ standing: what one tenant has in each of several lanes, and how long its waiting jobs run.
  KEYS[..]  lanes
  ARGV[2]   tenant          ARGV[3]  how many of its waiting jobs to look at for the average run; 0 is none
  Returns   thirteen for each lane: known (1 or 0), weight, waiting, delayed, put aside, in flight, moment its oldest waiting
            job was queued (us, 0 none), moment its first delayed job comes due (us, 0 none), worker time charged (us),
            average run of the jobs looked at (us, 0 unknown), paused (1 or 0), paused kinds (JSON object or ''), place.
  Cost      O(log J) a lane, and O(1) for each job looked at.          Keeps  everything: it only reads. ]]
local function first_score(key) return call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or '0' end

local function average_run(lane, tenant)
  local jobs = tonumber(ARGV[3]) > 0 and call('ZRANGE', tenant.queue, 0, ARGV[3] - 1) or {}
  local sum, count = 0, 0
  for _, job in ipairs(jobs) do
    local kind = cmsgpack.unpack(call('HGET', lane.key .. ':body', job))[2]
    local run = average_of(lane, tenant, kind, 0)
    if run > 0 then sum, count = sum + run, count + 1 end
  end
  return count > 0 and sum / count or 0
end

local reply = {}
for _, key in ipairs(KEYS) do
  local lane = open(key)
  local tenant = tenant_of(lane, ARGV[2])
  for _, value in ipairs({
    tenant.exists and 1 or 0, tostring(tenant.weight), call('ZCARD', tenant.queue), call('ZCARD', tenant.delayed),
    call('ZCARD', key .. ':h:' .. tenant.name), call('ZCARD', tenant.flight), whole(first_score(tenant.queue)),
    whole(first_score(tenant.delayed)), whole(tenant.used), whole(average_run(lane, tenant)), tenant.paused and 1 or 0,
    tenant.paused_kinds and cjson.encode(tenant.paused_kinds) or '', tenant.at,
  }) do reply[#reply + 1] = value end
end
return reply
