#!/bin/bash
# A coordinator, and a scale exporter beside it. Secrets: version ${secrets_version}.
set -euo pipefail

${fetch}
${prepare}
curl -fsS --retry 5 -o /etc/niyanta/rds.pem https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem
secret '${postgres_secret}' postgres-url
secret '${nats_secret}' nats-url
secret '${admin_secret}' admin-key
secret '${worker_secret}' worker-key
%{ if scaler_secret != "" ~}
secret '${scaler_secret}' scaler-key
%{ endif ~}

cat > /etc/niyanta/coordinator.env <<'SETTINGS'
NIYANTA_STORE=postgres
NIYANTA_BUS=nats
NIYANTA_HTTP_ADDR=:${api_port}
NIYANTA_POSTGRES_URL_FILE=/etc/niyanta/secrets/postgres-url
NIYANTA_NATS_URL_FILE=/etc/niyanta/secrets/nats-url
NIYANTA_ADMIN_KEY_FILE=/etc/niyanta/secrets/admin-key
NIYANTA_WORKER_KEY_FILE=/etc/niyanta/secrets/worker-key
NIYANTA_LOG_FORMAT=json
NIYANTA_POOLS='${pools}'
SETTINGS
%{ if length(replicas) > 0 ~}
# The replicas have the primary's user and password.
(umask 077 && {
  primary=$(cat /etc/niyanta/secrets/postgres-url)
  list=
%{ for replica in replicas ~}
  list="$list,$(printf '%s' "$primary" | sed 's|@[^/]*/|@${replica}/|')"
%{ endfor ~}
  printf '%s' "$${list#,}" > /etc/niyanta/secrets/replica-urls
})
chown root:niyanta /etc/niyanta/secrets/replica-urls
chmod 0640 /etc/niyanta/secrets/replica-urls
echo NIYANTA_POSTGRES_REPLICA_URL_FILE=/etc/niyanta/secrets/replica-urls >> /etc/niyanta/coordinator.env
%{ endif ~}

cat > /etc/systemd/system/niyanta-coordinator.service <<'UNIT'
[Unit]
Description=Niyanta coordinator
After=network-online.target
Wants=network-online.target

[Service]
User=niyanta
EnvironmentFile=/etc/niyanta/coordinator.env
ExecStart=/usr/local/bin/niyanta coordinator
Restart=always
RestartSec=2
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now niyanta-coordinator.service
%{ if scaler_secret != "" ~}

cat > /etc/niyanta/exporter.env <<'SETTINGS'
AWS_REGION=${region}
NIYANTA_COORDINATOR_URL=http://127.0.0.1:${api_port}
NIYANTA_SCALER_KEY_FILE=/etc/niyanta/secrets/scaler-key
NIYANTA_SCALER_POOL=${pool}
NIYANTA_AWS_AUTOSCALING_GROUP=${group}
NIYANTA_AWS_LIFECYCLE_HOOK=${hook}
NIYANTA_AWS_METRIC_NAMESPACE=${metric_namespace}
NIYANTA_LOG_FORMAT=json
SETTINGS
cat > /etc/systemd/system/niyanta-exporter.service <<'UNIT'
[Unit]
Description=Niyanta scale exporter
After=niyanta-coordinator.service

[Service]
User=niyanta
EnvironmentFile=/etc/niyanta/exporter.env
ExecStart=/usr/local/bin/niyanta scale-exporter aws
Restart=always
RestartSec=5
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now niyanta-exporter.service
%{ endif ~}
