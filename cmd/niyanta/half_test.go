package main

import "encoding/json"

// halfDone is the input of a program that saves a checkpoint, and waits until it is stopped. Continued
// from there, it ends at once: tests stop it whenever they come to that.
var halfDone = script(`save() { echo '{"type":"checkpoint","data":"half","percent":50}' >&3; }
read -r start <&3
case $start in *'"checkpoint":"half"'*) echo continued; exit 0;; esac
save
while read -r line <&3; do case $line in *checkpoint_request*) save;; *'"stop"'*) exit 0;; esac; done`)

// continued is in the result of halfDone, and only if it was continued from its checkpoint.
const continued = `"stdout":"continued\n"`

// script returns the input of a workload that runs a script.
func script(text string) string {
	b, _ := json.Marshal(map[string]any{"command": []string{"sh", "-c", text}}) // strings are JSON
	return string(b)
}

// saved waits until a workload has a checkpoint.
func (c *fleet) saved(id string) {
	c.t.Helper()
	c.eventually(func() bool { return c.get(id).CheckpointSequence > 0 }, "it has a checkpoint")
}
