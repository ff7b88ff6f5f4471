{{- define "kilowait.labels" -}}
app.kubernetes.io/name: kilowait
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "kilowait.args" -}}
- admit
- --cert
- /tls/tls.crt
- --key
- /tls/tls.key
- --types
- {{ join "," .Values.types | quote }}
{{- if ne .Values.prefer "time" }}
- --prefer={{ .Values.prefer }}
{{- end }}
{{- with .Values.nodeLabel }}
- --node-label={{ . }}
{{- end }}
{{- range $type, $value := .Values.nodeValues }}
- --node-value={{ $type }}={{ $value }}
{{- end }}
{{- range .Values.gitHosts }}
- --git-host={{ . }}
{{- end }}
{{- if ne (float64 .Values.budgetS) 8.0 }}
- --budget-s={{ .Values.budgetS }}
{{- end }}
{{- if .Values.gpuFile }}
- --gpu-file=/gpus/gpus.toml
{{- end }}
{{- if .Values.kueue.maxExecTime }}
- --max-exec-time
- --risk={{ .Values.kueue.risk }}
{{- end }}
{{- if .Values.kueue.checks }}
- --kueue-checks
{{- end }}
{{- end }}
