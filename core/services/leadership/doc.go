// Package leadership keeps this coordinator's claim to lead: acquire, renew, stop acting in time,
// step down. What the leader does is scheduling's and health's; that only one does it effectively
// is the store's, by epoch.
package leadership
