--[[ gcra: let one call pass under every rate, or under none of them.
  KEYS[i]   one for each rate: the moment at which the calls made so far would have come at an even pace (us since 1970)
  ARGV      two for each rate: time between two calls at an even pace (us), how far ahead of it a burst may run (us)
  Returns   three for each rate: calls left, us until all of them are back, us to wait (0: this rate lets the call pass).
  Cost      O(1) a rate.
  Keeps     a call that one rate refuses takes nothing of the others.
  Source    ITU-T I.371, annex A: the generic cell rate algorithm as virtual scheduling. ]]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local arrivals, passes = {}, true
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  arrivals[i] = math.max(tonumber(redis.call('GET', key) or now), now)
  passes = passes and arrivals[i] + interval - now <= burst
end

local reply = {}
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  if passes then
    arrivals[i] = arrivals[i] + interval
    redis.call('SET', key, string.format('%.0f', arrivals[i]), 'PX', math.ceil((arrivals[i] - now) / 1000))
  end
  local ahead = arrivals[i] - now
  reply[3 * i - 2] = math.max(0, math.floor((burst - ahead) / interval))
  reply[3 * i - 1] = ahead
  reply[3 * i] = passes and 0 or math.max(0, ahead + interval - burst)
end
return reply
