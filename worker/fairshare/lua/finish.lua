--[[ finish: end leases, whatever became of their jobs.
  KEYS[1]   lane
  ARGV[2]   tries after which a job goes to the dead letters
  ARGV[3]   JSON array with an array for each lease: token, outcome (ack, drop, retry, lost, unstarted), worker time used
            (us; -1 is since the lease began), due (us since 1970, for retry; 0 is at once)
  Returns   for each lease 0 stale, 1 done, 2 sent to the dead letters.
  Cost      O(log J) a lease, O(log T) a tenant.
  Keeps     the first finisher wins and a second changes nothing; a job is charged the time it used. ]]
local lane = open(KEYS[1])
local results, changed = finish(lane, cjson.decode(ARGV[3]), tonumber(ARGV[2]))
if changed then close(lane) end -- a lane that was deleted meanwhile stays deleted
return results
