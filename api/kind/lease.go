package kind

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/coordination"
	"k8s.io/kubernetes/pkg/apis/coordination/validation"
)

func leaseKind() *Kind {
	k := base[coordinationv1.Lease, coordinationv1.LeaseList](
		coordinationv1.SchemeGroupVersion.WithKind("Lease"), "leases", "lease")
	k.NeedsVersion = true
	check[coordination.Lease](k, validation.ValidateLease, validation.ValidateLeaseUpdate)
	selectable[*coordinationv1.Lease](k, nil)
	k.Columns = []metav1.TableColumnDefinition{
		nameColumn(),
		text("Holder", coordinationv1.LeaseSpec{}.SwaggerDoc()["holderIdentity"]),
		ageColumn(),
	}
	k.Row = rowOf(func(l *coordinationv1.Lease, now time.Time) []any {
		holder := ""
		if l.Spec.HolderIdentity != nil {
			holder = *l.Spec.HolderIdentity
		}
		return []any{l.Name, holder, age(l, now)}
	})
	return k
}
