package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// PrefixProcess is the prefix of process ids.
const PrefixProcess = "proc_"

// digestLength is the length of a SHA-256 in hexadecimal.
const digestLength = 2 * sha256.Size

// SessionEnd ends a session before its lease does. It is either a deregistration, which names a
// session, or a death certificate, which names a process and holds its secret.
type SessionEnd struct {
	// WorkerID and SessionID name the session whose holder deregisters.
	WorkerID  WorkerID  `json:"worker_id,omitempty"`
	SessionID SessionID `json:"session_id,omitempty"`
	// ProcessID names the process that died. Registration.CertificateDigest is the digest of
	// Secret.
	ProcessID string `json:"process_id,omitempty"`
	Secret    string `json:"secret,omitempty"`
}

// Certificate reports whether e is a death certificate.
func (e SessionEnd) Certificate() bool { return e.ProcessID != "" || e.Secret != "" }

// Validate checks that e is either a deregistration or a death certificate.
func (e SessionEnd) Validate() error {
	if !e.Certificate() {
		if err := ValidateWorkerID(e.WorkerID); err != nil {
			return err
		}
		return validateText("session_id", string(e.SessionID), 1, 64)
	}
	if e.WorkerID != "" || e.SessionID != "" {
		return Invalid("session_id", "must be absent from a death certificate: it names a process")
	}
	if err := validateText("process_id", e.ProcessID, 1, 64); err != nil {
		return err
	}
	return validateText("secret", e.Secret, 32, 256)
}

// Actor returns who ends the session.
func (e SessionEnd) Actor() Actor {
	if e.Certificate() {
		return Actor{Kind: ActorSystem, ID: e.ProcessID}
	}
	return Actor{Kind: ActorWorker, ID: string(e.WorkerID)}
}

// String omits the secret, so that it never appears in logs.
func (e SessionEnd) String() string {
	if e.Certificate() {
		return "death certificate of process " + e.ProcessID
	}
	return "deregistration of worker " + string(e.WorkerID) + ", session " + string(e.SessionID)
}

// CertificateDigest returns the SHA-256 of the secret of a death certificate, in hexadecimal.
func CertificateDigest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func validateProcess(r *Registration) error {
	if r.ProcessID == "" && r.CertificateDigest != "" {
		return Invalid("process_id", "is required with certificate_digest")
	}
	if err := validateText("process_id", r.ProcessID, 0, 64); err != nil {
		return err
	}
	if r.CertificateDigest == "" {
		return nil
	}
	if _, err := hex.DecodeString(r.CertificateDigest); err != nil || len(r.CertificateDigest) != digestLength ||
		r.CertificateDigest != strings.ToLower(r.CertificateDigest) {
		return Invalid("certificate_digest", "must be a SHA-256 in lower-case hexadecimal")
	}
	return nil
}
