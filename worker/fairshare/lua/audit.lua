--[[ audit: compare where some tenants are with where they belong.
  KEYS[1]   lane
  ARGV[2]   cursor, '0' to begin          ARGV[3]  about how many tenants          ARGV[4]  '1': also put them right
  Returns   next cursor ('0' at the end), how many tenants were found wrong.
  Cost      O(k log T).          Keeps  a count of 0 whenever only the verbs wrote. ]]
local lane = open(KEYS[1])

local function is_wrong(tenant)
  local where, score = belongs(tenant)
  if where == 'ready' or where == 'burst' then score = tenant.vt end
  -- Time alone lets a tenant ripen: it is moved at the next reserve, and until then it stands where it stood.
  if tenant.at == 'due' or tenant.at == 'limited' then
    local moment = call('ZSCORE', lane.key .. ':' .. tenant.at, tenant.name)
    if moment and tonumber(moment) <= NOW then where, score = tenant.at, tonumber(moment) end
  end
  if (where or '') ~= tenant.at then return true end
  for _, index in ipairs({ 'ready', 'burst', 'limited', 'due' }) do
    local found = call('ZSCORE', lane.key .. ':' .. index, tenant.name)
    if (found ~= false) ~= (index == where) then return true end
    if found and math.abs(found - score) > 0.01 then return true end
  end
  return false
end

local found = call('SSCAN', lane.key .. ':tenants', ARGV[2], 'COUNT', ARGV[3])
local wrong = 0
for _, name in ipairs(found[2]) do
  local tenant = tenant_of(lane, name)
  if is_wrong(tenant) then
    wrong = wrong + 1
    if ARGV[4] == '1' then
      for _, index in ipairs({ 'ready', 'burst', 'limited', 'due' }) do call('ZREM', lane.key .. ':' .. index, name) end
      tenant.at = ''
      place(lane, tenant)
    end
  end
end
if ARGV[4] == '1' then close(lane) end
return { found[1], wrong }
