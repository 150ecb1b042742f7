package domain

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Identity is what a verified token of an identity provider says of its bearer.
type Identity struct {
	// Subject is who the provider says it is. Name tells people; it may be empty.
	Subject, Name string
	// CustomerID is the customer that the bearer belongs to. Administrators and scalers need none.
	CustomerID CustomerID
	// Roles are the provider's names of what the bearer may do.
	Roles []string
	// ExpiresAt is when the token is not accepted any more.
	ExpiresAt time.Time
}

// RoleName maps a provider's name to a role.
type RoleName struct {
	Name string
	Role Role
}

// RoleNames map providers' names to roles. A bearer with several has the first of the list.
type RoleNames []RoleName

// OwnRoleNames map each role that a token can carry by its own name. Workers have keys.
func OwnRoleNames() RoleNames {
	var names RoleNames
	for _, r := range []Role{RoleAdmin, RoleScaler, RoleCustomer, RoleViewer} {
		names = append(names, RoleName{string(r), r})
	}
	return names
}

// Validate checks that a token can carry each role.
func (n RoleNames) Validate() error {
	for _, r := range n {
		switch r.Role {
		case RoleAdmin, RoleScaler, RoleCustomer, RoleViewer:
		case RoleWorker:
			return Invalid("role", "worker is not for tokens: workers have keys")
		default:
			return Invalid("role", "%q is no role", r.Role)
		}
	}
	return nil
}

// of returns the role of the first name in the list that is among the given ones.
func (n RoleNames) of(given []string) (Role, bool) {
	for _, known := range n {
		for _, name := range given {
			if name == known.Name {
				return known.Role, true
			}
		}
	}
	return "", false
}

// The bounds of what is kept of an identity, in characters.
const (
	subjectLimit = 255
	nameLimit    = 200
)

// KeyIDOfToken begins the key id of a principal that a token has authenticated. Its subject
// follows.
const KeyIDOfToken = "oidc:"

// Principal returns who the identity is. ok is false if no role is among its names, or it lacks a
// subject or the customer that the role needs.
func (i Identity) Principal(names RoleNames) (p Principal, ok bool) {
	role, ok := names.of(i.Roles)
	if !ok || validateText("sub", i.Subject, 1, subjectLimit) != nil || i.ExpiresAt.IsZero() {
		return Principal{}, false
	}
	p = Principal{
		Role: role, KeyID: KeyID(KeyIDOfToken + i.Subject), KeyName: CleanAndCut(i.Name, nameLimit),
		TokenExpires: i.ExpiresAt,
	}
	if !role.operator() {
		p.CustomerID = i.CustomerID
		ok = ValidateCustomerID(i.CustomerID) == nil
	}
	return p, ok
}

// TokenLimit is the size of the largest token, in bytes.
const TokenLimit = 16 << 10

// LooksLikeToken reports whether a credential has the form of a JSON web token: three parts of
// base64, the first of which begins an object. No key may have that form.
func LooksLikeToken(s string) bool {
	return strings.HasPrefix(s, "ey") && strings.Count(s, ".") == 2 && utf8.ValidString(s)
}
