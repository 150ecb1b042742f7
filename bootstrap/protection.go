package bootstrap

import "github.com/niyanta/niyanta/adapters/process"

// Shed takes the secrets out of this process's environment and closes its memory and descriptors to
// other processes of the same user. Commands of servers call it before they do anything else; see
// process.Shed.
func Shed() error {
	_, err := process.Shed()
	if err != nil {
		return err
	}
	_, err = process.Supervised() // takes its variable out of the environment, which is about to be read
	return err
}
