// Package checkpointing saves and restores checkpoints: compression, checksums, bounds, and falling
// back to an older checkpoint when the newest is damaged. When to checkpoint is the worker's
// (execution).
package checkpointing
