package domain

import "time"

// Defaults and bounds of a workload config.
const (
	DefaultCheckpointInterval = 300 * time.Second
	DefaultMaxRetries         = 5
	DefaultTimeout            = 3600 * time.Second
	MaxTimeout                = 30 * 24 * time.Hour
	MaxRetriesBound           = 1000
	MaxTypeLength             = 100
)

// Resources are what a workload needs or what a worker has. A zero field is not stated.
type Resources struct {
	CPUCores float64 `json:"cpu_cores,omitempty"`
	MemoryMB int     `json:"memory_mb,omitempty"`
	DiskMB   int     `json:"disk_mb,omitempty"`
}

// DefaultResources are the resource limits of a config that states none.
func DefaultResources() Resources { return Resources{CPUCores: 1, MemoryMB: 512, DiskMB: 1024} }

// RunConfig is the part of a config that a workload keeps from its submission on.
type RunConfig struct {
	// Config is the customer's opaque configuration of the type, a JSON object or empty.
	Config JSON
	// Resources limit the run, and decide on which workers it fits.
	Resources Resources
	// CheckpointInterval is the time between automatic checkpoints. 0: only the workload saves
	// them.
	CheckpointInterval time.Duration
	// MaxRetries is how often a failed run is retried. Lost workers do not count. Backoff is the
	// wait before each retry.
	MaxRetries int
	Backoff    RetryBackoff
	// Timeout limits one run, from its start. 0: no limit.
	Timeout time.Duration
}

// DefaultRunConfig is the config of a type for which the customer has none.
func DefaultRunConfig() RunConfig {
	return RunConfig{
		Resources:          DefaultResources(),
		CheckpointInterval: DefaultCheckpointInterval,
		MaxRetries:         DefaultMaxRetries,
		Backoff:            DefaultRetryBackoff(),
		Timeout:            DefaultTimeout,
	}
}

// WorkloadConfig has the defaults of a customer for a workload type. There is at most one for each.
type WorkloadConfig struct {
	ID          ConfigID
	CustomerID  CustomerID
	Type        string
	Description string
	RunConfig
	CreatedAt time.Time
	UpdatedAt time.Time
}

// ConfigKey names the config of a customer for a type.
type ConfigKey struct {
	CustomerID CustomerID
	Type       string
}

// Validate checks what a client may set.
func (c WorkloadConfig) Validate() error {
	if err := ValidateType("workload_type", c.Type); err != nil {
		return err
	}
	if err := validateText("description", c.Description, 0, 1000); err != nil {
		return err
	}
	if c.Config != "" && !c.Config.IsObject() {
		return Invalid("config_json", "must be a JSON object")
	}
	if err := CheckText("config_json", string(c.Config)); err != nil {
		return err
	}
	if err := c.Resources.validate("resource_limits"); err != nil {
		return err
	}
	if c.CheckpointInterval < 0 || c.CheckpointInterval > 24*time.Hour {
		return Invalid("checkpoint_interval_sec", "must be 0 to 86400")
	}
	if err := ValidateMaxRetries(c.MaxRetries); err != nil {
		return err
	}
	if err := c.Backoff.validate("retry_backoff"); err != nil {
		return err
	}
	return ValidateTimeout(c.Timeout)
}

// ValidateTimeout checks a run's time limit.
func ValidateTimeout(d time.Duration) error {
	if d < 0 || d > MaxTimeout {
		return Invalid("timeout_seconds", "must be 0 to %d", int(MaxTimeout.Seconds()))
	}
	return nil
}

// ValidateType checks the name of a workload type: a letter, then up to 99 of letters, digits, ".",
// "_", "-".
func ValidateType(field, name string) error {
	if name == "" || len(name) > MaxTypeLength || !only(name[:1], isAlnum) || !only(name, isAlnum, '.', '_', '-') {
		return Invalid(field, `must be 1 to %d of letters, digits, ".", "_" and "-", and start with a letter or digit`,
			MaxTypeLength)
	}
	return nil
}

func (r Resources) validate(field string) error {
	switch {
	case !(r.CPUCores >= 0 && r.CPUCores <= 1024):
		return Invalid(field+".cpu_cores", "must be 0 to 1024")
	case r.MemoryMB < 0 || r.MemoryMB > 64<<20:
		return Invalid(field+".memory_mb", "must be 0 to %d", 64<<20)
	case r.DiskMB < 0 || r.DiskMB > 1<<30:
		return Invalid(field+".disk_mb", "must be 0 to %d", 1<<30)
	}
	return nil
}

// Add returns r with n times o added.
func (r Resources) Add(o Resources, n int) Resources {
	return Resources{r.CPUCores + float64(n)*o.CPUCores, r.MemoryMB + n*o.MemoryMB, r.DiskMB + n*o.DiskMB}
}

// Fits reports whether r has room for need beside used. A field that r or need does not state is
// not compared.
func (r Resources) Fits(used, need Resources) bool {
	const slack = 1e-9 // sums of fractions such as 0.1 must not refuse an exact fit
	return (r.CPUCores == 0 || need.CPUCores == 0 || used.CPUCores+need.CPUCores <= r.CPUCores+slack) &&
		(r.MemoryMB == 0 || need.MemoryMB == 0 || used.MemoryMB+need.MemoryMB <= r.MemoryMB) &&
		(r.DiskMB == 0 || need.DiskMB == 0 || used.DiskMB+need.DiskMB <= r.DiskMB)
}
