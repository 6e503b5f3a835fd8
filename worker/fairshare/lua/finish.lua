--[[ finish: end leases, whatever became of their jobs.
  KEYS[1]   lane
  ARGV[2]   tries after which a job goes to the dead letters
  ARGV[3..] four for each lease: token, outcome (ack, drop, retry, lost, unstarted), worker time used (us; -1 is since the
            lease began), due (us since 1970, for retry; 0 is at once)
  Returns   for each lease 0 stale, 1 done, 2 sent to the dead letters.
  Cost      O(log J + log T) a lease.
  Keeps     the first finisher wins and a second changes nothing; a job is charged the time it used. ]]
local lane = open(KEYS[1])
local results, changed = {}, false
for at = 3, #ARGV, 4 do
  results[#results + 1] = finish(lane, ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]),
    tonumber(ARGV[2]))
  changed = changed or results[#results] ~= 0
end
if changed then close(lane) end -- a lane that was deleted meanwhile stays deleted
return results
