package bootstrap

import (
	"github.com/niyanta/niyanta/adapters/process"
	"github.com/niyanta/niyanta/adapters/system"
)

// Prepare makes this process a server's. It removes the secrets from its environment, closes its
// memory and descriptors to other processes of the same user, and tunes the collection of garbage.
// Commands of servers call it before anything else. See process.Shed and system.TuneGC.
func Prepare() error {
	_, err := process.Shed()
	if err != nil {
		return err
	}
	system.TuneGC()
	_, err = process.Supervised() // removes its variable from the environment, which is read next
	return err
}
