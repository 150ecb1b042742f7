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

// RunConfig is the part of a config that a workload keeps from its submission on.
type RunConfig struct {
	// Config is the customer's opaque configuration of the type, a JSON object or empty.
	Config JSON
	// Limits are what the run may use. They reserve nothing. Programs of exec are held to them.
	Limits Amounts
	// Resources are what the run reserves on its worker. Empty: nothing but a slot.
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
		Limits:             DefaultLimits(),
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
	if err := c.Limits.validate("resource_limits"); err != nil {
		return err
	}
	if err := c.Resources.Validate("resources"); err != nil {
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
