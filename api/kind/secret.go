package kind

import (
	"context"
	"crypto/tls"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
)

func secretKind() *Kind {
	k := base[corev1.Secret, corev1.SecretList](corev1.SchemeGroupVersion.WithKind("Secret"), "secrets", "secret")
	k.PrepareCreate = func(obj Object, _ time.Time) { encodeStringData(obj.(*corev1.Secret)) }
	k.PrepareUpdate = onBoth(func(s, old *corev1.Secret) {
		encodeStringData(s)
		if s.Type == "" {
			s.Type = old.Type
		}
	})
	check[core.Secret](k, validation.ValidateSecret, validation.ValidateSecretUpdate)
	k.Warnings = func(_ context.Context, obj, _ Object) []string { return secretWarnings(obj.(*corev1.Secret)) }
	selectable(k, func(s *corev1.Secret) fields.Set { return fields.Set{"type": string(s.Type)} })
	k.Columns = []metav1.TableColumnDefinition{
		nameColumn(),
		text("Type", corev1.Secret{}.SwaggerDoc()["type"]),
		text("Data", corev1.Secret{}.SwaggerDoc()["data"]),
		ageColumn(),
	}
	k.Row = rowOf(func(s *corev1.Secret, now time.Time) []any {
		return []any{s.Name, string(s.Type), int64(len(s.Data)), age(s, now)}
	})
	return k
}

// encodeStringData moves stringData, which is only for writing, into data.
func encodeStringData(s *corev1.Secret) {
	if len(s.StringData) > 0 && s.Data == nil {
		s.Data = make(map[string][]byte, len(s.StringData))
	}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
}

// secretWarnings says when a TLS secret's key does not belong to its certificate.
func secretWarnings(s *corev1.Secret) []string {
	if s.Type != corev1.SecretTypeTLS {
		return nil
	}
	if _, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]); err != nil {
		return []string{err.Error()}
	}
	return nil
}
