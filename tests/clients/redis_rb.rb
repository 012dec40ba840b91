# redis-rb. See loop.py for what it does.

require "redis"

TIMEOUT = 0.5
PAUSE = 0.005
PAUSE_AFTER_FAILURE = 0.02

list, group, key = ARGV
server_password = ENV.fetch("CLIENT_SERVER_PASSWORD", nil)
sentinel_password = ENV.fetch("CLIENT_SENTINEL_PASSWORD", nil)
sentinels = list.split(",").map do |each|
  host, port = each.split(":")
  { host: host, port: Integer(port), password: sentinel_password }.compact
end

$stdout.sync = true
ended = false
replica_reads = Queue.new
Thread.new do
  $stdin.each_line { replica_reads << true }
  ended = true
end

connect = lambda do |role|
  # In version 5 the group is given by name, before by the URL.
  names = Redis::VERSION.start_with?("4") ? { url: "redis://#{group}" } : { name: group }
  Redis.new(**names, sentinels: sentinels, role: role, password: server_password, timeout: TIMEOUT, reconnect_attempts: 0)
end
primary = connect.call(:master)
replica = connect.call(:slave)

number = 1
until ended
  begin
    primary.set(key, number)
    primary.get(key)
    puts "ack #{number}"
    number += 1
    if !replica_reads.empty? && replica.get(key)
      replica_reads.pop
      puts "replica ok"
    end
    sleep PAUSE
  rescue Redis::BaseError => e
    puts "fail #{e.class} #{e.message}"
    # As an application does after an error: what is open belongs to a server that may be no primary any more.
    [primary, replica].each(&:close)
    sleep PAUSE_AFTER_FAILURE
  end
end
puts "end #{number - 1}"
