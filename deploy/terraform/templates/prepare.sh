# Makes the user of the services, and the folder of their settings and secrets.
id -u niyanta >/dev/null 2>&1 || useradd --system --shell /sbin/nologin niyanta
install -d -m 0750 -o root -g niyanta /etc/niyanta /etc/niyanta/secrets

# secret ARN NAME: writes a secret to a file that only root and the service read.
secret() {
  local value
  value=$(aws secretsmanager get-secret-value --region '${region}' --secret-id "$1" --query SecretString --output text)
  (umask 077 && printf '%s' "$value" > "/etc/niyanta/secrets/$2")
  chown root:niyanta "/etc/niyanta/secrets/$2"
  chmod 0640 "/etc/niyanta/secrets/$2"
}
