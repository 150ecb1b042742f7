#!/bin/bash
# A worker, and what stops it when the group takes the machine away. Secrets: version ${secrets_version}.
set -euo pipefail

${fetch}
${prepare}
secret '${nats_secret}' nats-url
secret '${worker_secret}' worker-key

cat > /usr/local/bin/niyanta-metadata <<'METADATA'
#!/bin/bash
# Prints what the metadata service says about a path.
set -euo pipefail
token=$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
curl -fsS -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
METADATA
chmod 0755 /usr/local/bin/niyanta-metadata
instance=$(/usr/local/bin/niyanta-metadata instance-id)

cat > /etc/niyanta/worker.env <<SETTINGS
NIYANTA_BUS=nats
NIYANTA_NATS_URL_FILE=/etc/niyanta/secrets/nats-url
NIYANTA_COORDINATOR_URL=${url}
NIYANTA_WORKER_KEY_FILE=/etc/niyanta/secrets/worker-key
NIYANTA_WORKER_ID=$instance
NIYANTA_WORKER_TAGS=instance=$instance
NIYANTA_WORKER_SLOTS=${slots}
NIYANTA_WORKER_DISK_MB=${disk_mb}
# /tmp is in memory on Amazon Linux 2023.
TMPDIR=/var/tmp
NIYANTA_EXEC_ALLOW=${exec_allow}
NIYANTA_EXEC_UIDS=${exec_uids}
NIYANTA_DRAIN_TIMEOUT=${drain_timeout}s
NIYANTA_LOG_FORMAT=json
SETTINGS
%{ if spot ~}
cat >> /etc/niyanta/worker.env <<'SETTINGS'
NIYANTA_PREEMPT_NOTICE=http://169.254.169.254/latest/meta-data/spot/instance-action
NIYANTA_PREEMPT_WITHIN=2m
SETTINGS
%{ endif ~}

# As root, so that each program that a workload starts gets a user of its own. Those users do not reach
# the metadata service, which would give them the machine's role; the rule goes before all others.
cat > /etc/systemd/system/niyanta-worker.service <<'UNIT'
[Unit]
Description=Niyanta worker
After=network-online.target
Wants=network-online.target

[Service]
EnvironmentFile=/etc/niyanta/worker.env
ExecStartPre=-/usr/sbin/ip rule del pref 1 to 169.254.169.254/32 uidrange ${exec_uids} prohibit
ExecStartPre=/usr/sbin/ip rule add pref 1 to 169.254.169.254/32 uidrange ${exec_uids} prohibit
ExecStart=/usr/local/bin/niyanta worker
# SIGTERM drains; only the supervisor gets it, or programs would end before they have saved.
KillMode=mixed
TimeoutStopSec=${drain_timeout + 60}
Restart=on-failure
RestartSec=2
Delegate=yes

[Install]
WantedBy=multi-user.target
UNIT

# The group says here that it takes the machine away, and waits until the exporter lets it go.
cat > /usr/local/bin/niyanta-leave <<'LEAVE'
#!/bin/bash
while sleep 5; do
  state=$(/usr/local/bin/niyanta-metadata autoscaling/target-lifecycle-state 2>/dev/null || true)
  if [ "$state" = Terminated ]; then
    systemctl stop niyanta-worker.service
    exit 0
  fi
done
LEAVE
chmod 0755 /usr/local/bin/niyanta-leave
cat > /etc/systemd/system/niyanta-leave.service <<'UNIT'
[Unit]
Description=Stops the Niyanta worker when the group takes the machine away
After=niyanta-worker.service

[Service]
ExecStart=/usr/local/bin/niyanta-leave
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now niyanta-worker.service niyanta-leave.service
