package join

import (
	"crypto/subtle"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Token lets a node join.
type Token struct {
	ID     string // 6 characters of a-z0-9, no secret
	Secret string // 16 characters of a-z0-9
	CA     string // SHA-256 of the cluster CA's certificate (DER), hex
}

var tokenForm = regexp.MustCompile(`^([a-z0-9]{6})\.([a-z0-9]{16})\.([0-9a-f]{64})$`)

// ParseToken reads what Token.String wrote.
func ParseToken(text string) (Token, error) {
	parts := tokenForm.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return Token{}, fmt.Errorf("want ID.SECRET.CA as `covey token create` prints it (6, 16 and 64 characters)")
	}
	return Token{ID: parts[1], Secret: parts[2], CA: parts[3]}, nil
}

func (t Token) String() string { return t.ID + "." + t.Secret + "." + t.CA }

// The keys in a token's Secret are those of Kubernetes' bootstrap tokens; uses and role are covey's.
const (
	SecretPrefix = "bootstrap-token-"
	SecretType   = corev1.SecretTypeBootstrapToken
	keySecret    = "token-secret"
	Expiration   = "expiration" // RFC 3339; none is never
	keyUses      = "uses"
	keyRole      = "role" // roleWorker, or not there
	roleWorker   = "worker"
)

// another is how to come by one that is good.
const another = "covey token create, on a node of the cluster, makes another"

// check says why a token is not good for joining, as a worker or as a server.
func check(secret *corev1.Secret, token Token, worker bool, now time.Time) error {
	if secret == nil || secret.Type != SecretType ||
		subtle.ConstantTimeCompare(secret.Data[keySecret], []byte(token.Secret)) != 1 {
		return fmt.Errorf("the token %s.… is unknown: it is mistyped, used up or deleted; %s", token.ID, another)
	}
	if text := string(secret.Data[Expiration]); text != "" {
		until, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return fmt.Errorf("the token %s.… has an expiration that is not a time: %q", token.ID, text)
		}
		if !now.Before(until) {
			return fmt.Errorf("the token %s.… expired at %s; %s", token.ID, text, another)
		}
	}
	if role := string(secret.Data[keyRole]); role != "" && (role != roleWorker || !worker) {
		return fmt.Errorf("the token %s.… lets nodes join as a worker only: start this one with --worker, or create a token without --worker", token.ID)
	}
	return nil
}

// spend takes one use from a token that has a number of them; nil is a token that is used up.
func spend(secret *corev1.Secret) (*corev1.Secret, error) {
	text, limited := secret.Data[keyUses]
	if !limited {
		return secret, nil
	}
	uses, err := strconv.Atoi(string(text))
	if err != nil || uses < 1 {
		return nil, refusal{fmt.Errorf("the token's number of uses is not one: %q", text)}
	}
	if uses == 1 {
		return nil, nil
	}
	secret = secret.DeepCopy()
	secret.Data[keyUses] = []byte(strconv.Itoa(uses - 1))
	return secret, nil
}
