package support

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
)

// The owner of a file in a volume.
const fileOwner = "files belong to root; give them to a group with the pod's fsGroup"

func volumeTables() map[reflect.Type]Table {
	return map[reflect.Type]Table{
		of[corev1.Volume]():               {"name": acted()},
		of[corev1.VolumeSource]():         volumeSource(),
		of[corev1.HostPathVolumeSource](): {"path": acted(), "type": acted()},
		of[corev1.EmptyDirVolumeSource](): {
			"medium":    refused("the medium is \"\" or Memory").unless(corev1.StorageMediumMemory).inPart(),
			"sizeLimit": acted("A volume in memory cannot grow past it; for a directory that does, the pod is evicted."),
			"mode":      warned("anybody may write to the directory"),
		},
		of[corev1.SecretVolumeSource](): {
			"secretName": acted(), "items": acted(), "defaultMode": acted(), "optional": acted(), "defaultUser": warned(fileOwner),
		},
		of[corev1.ConfigMapVolumeSource](): {
			"items": acted(), "defaultMode": acted(), "optional": acted(), "defaultUser": warned(fileOwner),
		},
		of[corev1.DownwardAPIVolumeSource](): {"items": acted(), "defaultMode": acted(), "defaultUser": warned(fileOwner)},
		of[corev1.KeyToPath]():               {"key": acted(), "path": acted(), "mode": acted(), "user": warned(fileOwner)},
		of[corev1.DownwardAPIVolumeFile](): {
			"path": acted(), "fieldRef": acted(), "resourceFieldRef": acted(), "mode": acted(), "user": warned(fileOwner),
		},
		of[corev1.ProjectedVolumeSource](): {"sources": acted(), "defaultMode": acted(), "defaultUser": warned(fileOwner)},
		of[corev1.VolumeProjection](): {
			"secret": acted(), "configMap": acted(), "downwardAPI": acted(),
			"serviceAccountToken": warned("no tokens are mounted into pods"),
			"clusterTrustBundle":  refused("there are no cluster trust bundles"),
			"podCertificate":      refused("there are no pod certificates"),
		},
		of[corev1.SecretProjection]():      {"items": acted(), "optional": acted()},
		of[corev1.ConfigMapProjection]():   {"items": acted(), "optional": acted()},
		of[corev1.DownwardAPIProjection](): {"items": acted()},
		of[corev1.LocalObjectReference]():  {"name": acted()},
	}
}

func volumeSource() Table {
	t := Table{
		"hostPath": acted(), "emptyDir": acted(), "configMap": acted(), "secret": acted(), "downwardAPI": acted(), "projected": acted(),
	}
	absent := refused("volumes are hostPath, emptyDir, configMap, secret, downwardAPI or projected")
	for _, name := range []string{
		"gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "persistentVolumeClaim", "rbd",
		"flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk",
		"photonPersistentDisk", "portworxVolume", "scaleIO", "storageos", "csi", "ephemeral", "image",
	} {
		t[name] = absent
	}
	return t
}
