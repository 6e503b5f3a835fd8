--[[ explain: say why a job has not run yet.
  KEYS[1]   lane
  ARGV[2]   job
  Returns   nothing for a job that is not here, else: reason (running, paused, kind_paused, delayed, limited, capped, turn),
            tenant, kind, jobs of the tenant before it, tenants before its tenant, moment it can change (us since 1970, 0
            unknown), jobs of the tenant in flight, average run of its kind (us, 0 unknown), moment workers were last
            heard of (us, 0 never).
  Cost      O(log J + log T).          Keeps  everything: it only reads. ]]
local lane = open(KEYS[1])
local raw = call('HGET', lane.key .. ':body', ARGV[2])
if not raw then return {} end
local body = cmsgpack.unpack(raw)
local tenant = tenant_of(lane, body[1])

local function reason()
  if call('ZSCORE', lane.key .. ':h:' .. tenant.name, ARGV[2]) then return 'kind_paused', 0 end
  local due = call('ZSCORE', tenant.delayed, ARGV[2])
  if due and tonumber(due) > NOW then return 'delayed', tonumber(due) end
  if not due and not call('ZSCORE', tenant.queue, ARGV[2]) then return 'running', 0 end
  if tenant.paused then return 'paused', 0 end
  local where, moment = belongs(tenant)
  if where == 'limited' then return 'limited', moment end
  return where and 'turn' or 'capped', 0
end

local why, moment = reason()
local turn = call('ZRANK', lane.key .. ':ready', tenant.name)
  or call('ZCARD', lane.key .. ':ready') + (call('ZRANK', lane.key .. ':burst', tenant.name) or 0)
return {
  why, tenant.name, body[2], call('ZRANK', tenant.queue, ARGV[2]) or call('ZCARD', tenant.queue), turn, whole(moment),
  call('ZCARD', tenant.flight), whole(average_of(lane, tenant, body[2], 0)), whole(lane.seen),
}
