--[[ destroy: delete a lane, some tenants at a time, jobs in flight included.
  KEYS[1]   lane
  ARGV[2]   how many tenants at most
  Returns   1 when the lane is gone, 0 to be called again.          Cost  O(k), and O(J) in the background. ]]
local key = KEYS[1]
for _, name in ipairs(call('SPOP', key .. ':tenants', ARGV[2])) do
  for _, part in ipairs({ 't', 'q', 'd', 'f', 'h' }) do call('UNLINK', key .. ':' .. part .. ':' .. name) end
end
if call('EXISTS', key .. ':tenants') == 1 then return 0 end
for _, part in ipairs({
  'ready', 'burst', 'limited', 'due', 'leases', 'lease', 'body', 'boost', 'tries', 'dead', 'clock', 'bell',
}) do call('UNLINK', key .. ':' .. part) end
return 1
