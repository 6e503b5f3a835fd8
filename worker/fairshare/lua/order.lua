--[[ order: whose turn comes next; it is put before reserve.
  While jobs are handed out, who comes next is kept here and not in Redis: of the first n tenants of an index each
  step moves one, so for n steps nobody else can come first. What changed is written once, by store().
  Cost      O(log T) a tenant read or moved, and n comparisons a step. ]]
local WINDOW = 64 -- tenants read at once

local function begin(lane, steps)
  lane.steps, lane.window, lane.moved, lane.leases, lane.deadlines = 0, min(steps, WINDOW), {}, {}, {}
end

-- Write what was handed out, and where its tenants stand now.
local function store(lane)
  call_on('HSET', lane.key .. ':lease', lane.leases)
  call_on('ZADD', lane.key .. ':leases', lane.deadlines)
  local standing = { ready = {}, burst = {} }
  for _, tenant in ipairs(lane.moved) do
    call_on('ZADD', tenant.flight, tenant.begun)
    if tenant.goes and tenant.goes ~= tenant.at then
      call('ZREM', lane.key .. ':' .. tenant.at, tenant.name)
      tenant.at = tenant.goes
    end
    if tenant.goes then append_pair(standing[tenant.at], exact(tenant.vt), tenant.name) end
    tenant.begun, tenant.goes = nil, nil
  end
  for index, entries in pairs(standing) do call_on('ZADD', lane.key .. ':' .. index, entries) end
  lane.leases, lane.deadlines, lane.moved = {}, {}, {}
end

local function first_in(lane, index, count)
  local found, standing = call('ZRANGE', lane.key .. ':' .. index, 0, count - 1, 'WITHSCORES'), {}
  for at = 1, #found, 2 do standing[found[at]] = tonumber(found[at + 1]) end
  return standing, #found / 2
end

-- As long as ready fills the window nobody in burst can come first.
local function look(lane)
  local count
  lane.ready, count = first_in(lane, 'ready', lane.window)
  lane.burst = count < lane.window and first_in(lane, 'burst', lane.window) or {}
  lane.steps = lane.window
end

local function first_of(standing)
  local first, least
  for name, score in pairs(standing) do
    if not first or score < least or score == least and name < first then first, least = name, score end
  end
  return first
end

-- As place(), for a tenant that stood in ready or burst: what stays there is written later, together.
local function move(lane, tenant)
  local where = belongs(tenant)
  lane.ready[tenant.name], lane.burst[tenant.name] = nil, nil
  if not tenant.begun then
    tenant.begun = {}
    append(lane.moved, tenant)
  end
  tenant.changed = true
  tenant.goes = (where == 'ready' or where == 'burst') and where or nil
  if tenant.goes then
    lane[where][tenant.name] = tonumber(exact(tenant.vt))
  else
    place(lane, tenant)
  end
end

-- The tenant whose turn it is.
local function next_of(lane)
  if lane.steps == 0 then
    store(lane)
    look(lane)
  end
  lane.steps = lane.steps - 1
  local name = first_of(lane.ready) or first_of(lane.burst)
  return name and tenant_of(lane, name)
end
