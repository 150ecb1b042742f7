package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/niyanta/niyanta/core/ports"
)

// kinds are the kinds of failures, with the codes of AWS for them and what to do.
var kinds = []struct {
	kind   ports.CloudFailure
	codes  []string
	advice string
}{
	{ports.CloudThrottled, []string{
		"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException",
		"SlowDown", "LimitExceeded",
	}, "too many requests in this account; the next round tries again"},
	{ports.CloudCredentials, []string{
		"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException",
		"InvalidSignatureException", "SignatureDoesNotMatch", "InvalidAccessKeyId", "MissingAuthenticationToken",
		"AuthFailure",
	}, "the credentials have expired or are wrong, or this machine's clock is"},
	{ports.CloudDenied, []string{
		"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess", "OptInRequired",
	}, "the role lacks a right; deploy/terraform has the policy that it needs"},
}

// failure is an error of AWS with its kind.
type failure struct {
	kind   ports.CloudFailure
	advice string
	err    error
}

func (f *failure) Error() string {
	if f.advice == "" {
		return f.err.Error()
	}
	return fmt.Sprintf("%s: %s", f.advice, f.err)
}

func (f *failure) Unwrap() error { return f.err }

// CloudFailure says what kind of failure it is.
func (f *failure) CloudFailure() ports.CloudFailure { return f.kind }

// failed returns err with its kind, or nil.
func failed(err error) error {
	var api smithy.APIError
	var sent *smithyhttp.RequestSendError
	var answered *smithyhttp.ResponseError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &api):
	case errors.As(err, &sent), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &failure{ports.CloudUnreachable, "AWS does not answer", err}
	case errors.As(err, &answered):
		return &failure{ports.CloudOther, "the answer cannot be read", err}
	default: // it could not be signed
		return &failure{ports.CloudCredentials, "no credentials were found", err}
	}
	for _, k := range kinds {
		if slices.Contains(k.codes, api.ErrorCode()) {
			return &failure{k.kind, k.advice, err}
		}
	}
	return &failure{ports.CloudOther, "", err}
}
