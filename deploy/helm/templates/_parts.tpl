{{- define "name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- /* (list $ "api"): what a pod of that part is found by. */}}
{{- define "selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ $.Chart.Name }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "labels" -}}
{{- $ := index . 0 -}}
{{ include "selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ $.Chart.Name }}-{{ $.Chart.Version }}
{{- end }}

{{- /* (list $ "api"): name and labels of an object of that part. */}}
{{- define "metadata" -}}
{{- $ := index . 0 -}}
name: {{ include "name" $ }}{{ if ne (index . 1) "projector" }}-{{ index . 1 }}{{ end }}
labels:
  {{- include "labels" . | nindent 2 }}
{{- end }}

{{- /* (list $ "api"): what all pods have. */}}
{{- define "pod" -}}
{{- $ := index . 0 -}}
serviceAccountName: {{ include "name" $ }}
automountServiceAccountToken: false
{{- with $.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "selector" . | nindent 8 }}
{{- with $.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  # The only folder that can be written: counters of workers, tables of a comparison.
  - name: tmp
    emptyDir: {}
  {{- range $.Values.files }}
  - name: {{ . }}
    secret: {secretName: {{ . }}}
  {{- end }}
{{- end }}

{{- /* (list $ .Values.api (dict "API_PORT" "9000")): what all containers have. The last are settings that the chart makes. */}}
{{- define "container" -}}
{{- $ := index . 0 -}}
{{- $part := index . 1 -}}
image: "{{ $.Values.image.repository }}:{{ $.Values.image.tag | default $.Chart.AppVersion }}"
imagePullPolicy: {{ $.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources:
  {{- toYaml $part.resources | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- range $.Values.files }}
  - {name: {{ . }}, mountPath: /etc/order-groups/{{ . }}, readOnly: true}
  {{- end }}
{{- with concat $.Values.secrets ($part.secrets | default list) }}
envFrom:
  {{- range . }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
env:
  {{- range $name, $value := merge (index . 2) ($part.settings | default dict) $.Values.settings }}
  {{- /* A number of values.yaml is a float, and would become 2.68435456e+08. */}}
  - {name: {{ $name }}, value: {{ kindIs "float64" $value | ternary (printf "%.0f" $value) (toString $value) | quote }}}
  {{- end }}
{{- end }}

{{- /* The name of a port: restart on /health/live only, since a restart mends neither Redis nor a lag. */}}
{{- define "probes" -}}
livenessProbe:
  httpGet: {path: /health/live, port: {{ . }}}
  initialDelaySeconds: 10
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /health/ready, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}
