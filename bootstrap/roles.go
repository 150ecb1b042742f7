package bootstrap

// Role is what a process does; what must be configured depends on it.
type Role string

// The roles.
const (
	RoleDev         Role = "dev"
	RoleServer      Role = "server"
	RoleCoordinator Role = "coordinator"
	RoleWorker      Role = "worker"
	RoleMigrate     Role = "migrate"
	// RoleScaleExporter tells a cloud's autoscaler how many workers a pool needs.
	RoleScaleExporter Role = "scale-exporter"
)
