package bootstrap

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
)

// profilesPath is where the profiles of the process are.
const profilesPath = "/debug/pprof/"

// profiled returns a handler that serves the profiles of the process to administrators, and
// everything else with next.
func profiled(
	next http.Handler, authenticate func(ctx context.Context, key string) (domain.Principal, error),
) http.Handler {
	profiles := http.NewServeMux()
	profiles.HandleFunc(profilesPath, pprof.Index)
	profiles.HandleFunc(profilesPath+"profile", pprof.Profile)
	profiles.HandleFunc(profilesPath+"trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, profilesPath) {
			next.ServeHTTP(w, r)
			return
		}
		key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		p, err := authenticate(r.Context(), key)
		switch {
		case domain.IsCode(err, domain.CodeUnauthorized):
			http.Error(w, "profiles need an admin's key: Authorization: Bearer …", http.StatusUnauthorized)
		case err != nil:
			http.Error(w, "the key cannot be checked now", http.StatusServiceUnavailable)
		case p.Role != domain.RoleAdmin:
			http.Error(w, "profiles are for administrators", http.StatusForbidden)
		default:
			profiles.ServeHTTP(w, r)
		}
	})
}
