import django.db.models.deletion
import django.utils.timezone
import django_infra.exporter.fields
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='QueryExport',
            fields=[
                ('id', models.CharField(editable=False, max_length=100, primary_key=True, serialize=False, verbose_name='id')),
                ('model_label', models.CharField(max_length=200, verbose_name='model')),
                ('format', models.CharField(max_length=50, verbose_name='format')),
                ('state', models.CharField(choices=[('scheduled', 'Scheduled'), ('processing', 'Processing'), ('success', 'Success'), ('fail', 'Fail')], default='scheduled', max_length=20, verbose_name='state')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='created at')),
                ('start_time', models.DateTimeField(blank=True, null=True, verbose_name='start time')),
                ('finished_at', models.DateTimeField(blank=True, null=True, verbose_name='finished at')),
                ('job_time', models.DurationField(blank=True, null=True, verbose_name='job time')),
                ('heartbeat_at', models.DateTimeField(blank=True, help_text="Last sign of the worker, on the database's clock.", null=True, verbose_name='heartbeat at')),
                ('delivery_started_at', models.DateTimeField(blank=True, null=True, verbose_name='delivery started at')),
                ('data_path', models.CharField(blank=True, choices=[('copy', 'COPY'), ('sql', 'SQL'), ('python', 'Python')], help_text="Who makes cells of the database's values.", max_length=20, verbose_name='data path')),
                ('row_count', models.PositiveBigIntegerField(blank=True, null=True, verbose_name='row count')),
                ('progress_percent', models.PositiveSmallIntegerField(blank=True, null=True, verbose_name='progress percent')),
                ('storage_alias', models.CharField(max_length=100, verbose_name='storage alias')),
                ('file_path', models.CharField(max_length=512, verbose_name='file path')),
                ('path_key', models.CharField(editable=False, help_text='Reserves the path while the export is unfinished.', max_length=64, null=True, unique=True, verbose_name='path key')),
                ('file', django_infra.exporter.fields.ExportFileField(blank=True, max_length=512, upload_to='', verbose_name='file')),
                ('file_size', models.PositiveBigIntegerField(blank=True, help_text='In bytes.', null=True, verbose_name='file size')),
                ('error_log', models.TextField(blank=True, verbose_name='error log')),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='query_exports', to=settings.AUTH_USER_MODEL, verbose_name='created by')),
            ],
            options={
                'verbose_name': 'query export',
                'verbose_name_plural': 'query exports',
                'ordering': ['-created_at', '-id'],
                'indexes': [models.Index(fields=['-created_at', '-id'], name='exporter_created_idx'), models.Index(fields=['created_by', '-created_at'], name='exporter_owner_idx'), models.Index(fields=['state', 'heartbeat_at'], name='exporter_state_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['scheduled', 'processing', 'success', 'fail'])), name='exporter_state_known'), models.CheckConstraint(condition=models.Q(('progress_percent__isnull', True), ('progress_percent__lte', 100), _connector='OR'), name='exporter_percent_range')],
            },
        ),
    ]
