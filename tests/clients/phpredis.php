<?php
// phpredis. See loop.py for what it does. Its Sentinel class only asks: to connect, and to ask again after an error, is
// left to the application, and done here as its manual shows.

declare(strict_types=1);

const TIMEOUT = 0.5;
const PAUSE_US = 5_000;
const PAUSE_AFTER_FAILURE_US = 20_000;

[, $list, $group, $key] = $argv;
$serverPassword = getenv('CLIENT_SERVER_PASSWORD') ?: null;
$sentinelPassword = getenv('CLIENT_SENTINEL_PASSWORD') ?: null;
$addresses = array_map(fn (string $each): array => explode(':', $each), explode(',', $list));

/** Asks one sentinel after the other; the first answer counts. */
function ask(array $addresses, ?string $password, string $question, string $group): array
{
    foreach ($addresses as $address) {
        try {
            if ($password === null) {
                $sentinel = new RedisSentinel($address[0], (int) $address[1], TIMEOUT, null, 0, TIMEOUT);
                $answer = $question === 'slaves' ? $sentinel->slaves($group) : $sentinel->getMasterAddrByName($group);
            } else {
                // The Sentinel class of version 5.3 cannot give a password.
                $answer = open($address, $password)->rawCommand('SENTINEL', $question, $group);
                if ($question === 'slaves' && $answer) {
                    $answer = array_map('pairs', $answer);
                }
            }
            if ($answer) {
                return $answer;
            }
        } catch (RedisException) {
            continue;
        }
    }
    throw new RedisException('no sentinel knows');
}

/** A flat list of names and values as a map. */
function pairs(array $flat): array
{
    $map = [];
    foreach (array_chunk($flat, 2) as [$name, $value]) {
        $map[$name] = $value;
    }
    return $map;
}

function open(array $address, ?string $password): Redis
{
    $redis = new Redis();
    $redis->connect($address[0], (int) $address[1], TIMEOUT, null, 0, TIMEOUT);
    if ($password !== null) {
        $redis->auth($password);
    }
    return $redis;
}

/** The address of a replica that is not down. */
function replica(array $addresses, ?string $password, string $group): array
{
    $replicas = ask($addresses, $password, 'slaves', $group);
    foreach ($replicas as $replica) {
        if (!str_contains($replica['flags'], 'down') && !str_contains($replica['flags'], 'disconnected')) {
            return [$replica['ip'], $replica['port']];
        }
    }
    throw new RedisException('no replica is up');
}

stream_set_blocking(STDIN, false);
$redis = null;
$number = 1;
$replicaReads = 0;
while (true) {
    while (($line = fgets(STDIN)) !== false) {
        $replicaReads++;
    }
    if (feof(STDIN)) {
        break;
    }
    try {
        $redis ??= open(
            ask($addresses, $sentinelPassword, 'get-master-addr-by-name', $group),
            $serverPassword,
        );
        // A refused write is no exception of its own here.
        if (!$redis->set($key, (string) $number)) {
            throw new RedisException((string) $redis->getLastError());
        }
        $redis->get($key);
        echo "ack $number\n";
        $number++;
        if ($replicaReads > 0) {
            $reader = open(replica($addresses, $sentinelPassword, $group), $serverPassword);
            if ($reader->get($key) !== false) {
                $replicaReads--;
                echo "replica ok\n";
            }
        }
        usleep(PAUSE_US);
    } catch (RedisException $error) {
        echo 'fail ', $error->getMessage(), "\n";
        $redis = null;
        usleep(PAUSE_AFTER_FAILURE_US);
    }
}
$last = $number - 1;
echo "end $last\n";
