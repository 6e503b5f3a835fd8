--[[ restore: give expired leases back to their tenants' queues, in their old places.
  KEYS[1]   lane
  ARGV[2]   how many at most          ARGV[3]  tries after which a job goes to the dead letters
  Returns   how many leases had expired.          Cost  O(log J) each.
  Keeps     caps do not hold recovery up; what a lost job used until its deadline is charged. ]]
local lane = open(KEYS[1])
local count = restore(lane, tonumber(ARGV[2]), tonumber(ARGV[3]))
close(lane)
return count
