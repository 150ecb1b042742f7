#!/bin/bash
# A server of NATS in a cluster of ${length(addresses)}. Secrets: version ${secrets_version}.
set -euo pipefail

${fetch}
id -u nats >/dev/null 2>&1 || useradd --system --shell /sbin/nologin nats
install -d -m 0750 -o root -g nats /etc/nats
urls=$(aws secretsmanager get-secret-value --region '${region}' --secret-id '${secret}' --query SecretString --output text)
# The secret is nats://user:password@host:port,…: all have the same password.
password=$(printf '%s' "$urls" | sed 's|^nats://[^:]*:\([^@]*\)@.*|\1|')
(umask 077 && cat > /etc/nats/nats.conf) <<CONFIGURATION
listen: 0.0.0.0:4222
max_payload: 8MB
authorization { user: niyanta, password: "$password" }
cluster {
  name: niyanta
  listen: 0.0.0.0:6222
  authorization { user: route, password: "$password" }
  routes: [
%{ for address in addresses ~}
    "nats-route://route:$password@${address}:6222"
%{ endfor ~}
  ]
}
CONFIGURATION
chown root:nats /etc/nats/nats.conf
chmod 0640 /etc/nats/nats.conf

cat > /etc/systemd/system/nats.service <<'UNIT'
[Unit]
Description=NATS
After=network-online.target
Wants=network-online.target

[Service]
User=nats
ExecStart=/usr/local/bin/nats-server --config /etc/nats/nats.conf
Restart=always
RestartSec=2
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now nats.service
