--[[ ending: how leases end; it is put between lane and the verbs that end any.
  Cost      O(log J) a lease and O(log T) a tenant; each key is written once, however many leases end.
  Keeps     a job is charged the time it used; a tenant that a lease leaves is placed anew. ]]
-- What a lease comes to, in memory; what is to be deleted is noted in gone. Returns 1 when done, 2 for the dead letters.
-- outcome: ack, drop (gone without success), retry (again, from due), lost (its holder vanished), unstarted (never ran).
local function conclude(lane, gone, lease, outcome, used, due, max_tries)
  local tenant = tenant_of(lane, lease.tenant)
  local longest = max(0, NOW - lease.start)
  if outcome == 'lost' then longest = max(0, min(NOW, lease.deadline) - lease.start) end
  used = (used < 0 or used > longest) and longest or used
  if outcome == 'unstarted' then
    used = 0
    tenant.tat = max(0, tenant.tat - tenant.gap)
  end
  charge(tenant, used - lease.charged)
  tenant.guessed = max(0, tenant.guessed - lease.guessed)
  if outcome ~= 'lost' and outcome ~= 'unstarted' then learn(lane, tenant, lease.kind, used) end
  if outcome ~= 'ack' then lane.has_tries = nil end -- the first try may be counted now
  local result = 1
  if outcome ~= 'ack' and outcome ~= 'drop' and outcome ~= 'unstarted'
    and call('HINCRBY', lane.key .. ':tries', lease.job, 1) >= max_tries then
    call('HSET', lane.key .. ':dead', lease.job, call('HGET', lane.key .. ':body', lease.job))
    outcome, result = 'drop', 2
  end
  if outcome == 'ack' or outcome == 'drop' then
    append(gone.jobs, lease.job)
    if lease.boost ~= 0 then append(gone.boosted, lease.job) end
  elseif due > NOW then
    call('ZADD', tenant.delayed, whole(due), lease.job)
  else
    call('ZADD', tenant.queue, whole(lease.score), lease.job)
  end
  return result
end

local function leases_of(lane, ends)
  local leases = {}
  for first = 1, #ends, PART do
    local tokens = {}
    for at = first, min(first + PART - 1, #ends) do append(tokens, ends[at][1]) end
    for at, raw in ipairs(call('HMGET', lane.key .. ':lease', unpack(tokens))) do
      leases[tokens[at]] = raw and unpack_lease(raw) or nil
    end
  end
  return leases
end

-- The one way out of being in flight. Each end is token, outcome, used, due; whoever ends a lease first ends it.
-- Returns for each end 0 stale, 1 done, 2 sent to the dead letters; and whether anything changed.
local function finish(lane, ends, max_tries)
  local leases, results, tenants = leases_of(lane, ends), {}, {}
  local gone = { tokens = {}, jobs = {}, boosted = {} }
  for at, ending in ipairs(ends) do
    local token, outcome, used, due = unpack(ending)
    local lease = leases[token]
    leases[token] = nil
    results[at] = lease and conclude(lane, gone, lease, outcome, used, due, max_tries) or 0
    if lease then
      local tenant = tenant_of(lane, lease.tenant)
      if not tenant.ended then
        tenant.ended = {}
        append(tenants, tenant)
      end
      append(tenant.ended, token)
      append(gone.tokens, token)
    end
  end
  call_on('HDEL', lane.key .. ':lease', gone.tokens)
  call_on('ZREM', lane.key .. ':leases', gone.tokens)
  forget(lane, gone.jobs, gone.boosted)
  -- Who stands in ready is moved before anybody enters, who is measured by the first there.
  for _, standing in ipairs({ true, false }) do
    for _, tenant in ipairs(tenants) do
      if tenant.ended and (tenant.at == 'ready' or tenant.at == 'burst') == standing then
        call_on('ZREM', tenant.flight, tenant.ended)
        tenant.ended, tenant.running, tenant.waiting = nil, nil, nil
        place(lane, tenant)
      end
    end
  end
  return results, #gone.tokens > 0
end

-- Give at most limit expired leases back.
local function restore(lane, limit, max_tries)
  local ends = {}
  for _, token in ipairs(call('ZRANGEBYSCORE', lane.key .. ':leases', '-inf', whole(NOW), 'LIMIT', 0, limit)) do
    append(ends, { token, 'lost', -1, 0 })
  end
  finish(lane, ends, max_tries)
  return #ends
end
