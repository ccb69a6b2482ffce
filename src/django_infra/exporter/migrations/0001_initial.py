import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
import django_infra.exporter.models.fields
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
                ('name', models.CharField(blank=True, help_text='Of the named export; empty for a queryset that was in hand.', max_length=100, verbose_name='name')),
                ('params', models.JSONField(blank=True, default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder, help_text='What the form of the named export was given.', verbose_name='parameters')),
                ('language', models.CharField(blank=True, max_length=20, verbose_name='language')),
                ('time_zone', models.CharField(blank=True, max_length=100, verbose_name='time zone')),
                ('model_label', models.CharField(max_length=200, verbose_name='model')),
                ('columns', models.JSONField(blank=True, default=list, help_text='Name, null for an expression, and header of each.', verbose_name='columns')),
                ('format', models.CharField(max_length=50, verbose_name='format')),
                ('state', models.CharField(choices=[('scheduled', 'Scheduled'), ('processing', 'Processing'), ('success', 'Success'), ('fail', 'Fail')], default='scheduled', max_length=20, verbose_name='state')),
                ('owner_key', models.CharField(blank=True, editable=False, help_text='Of created_by, also when that user is gone.', max_length=255, verbose_name="owner's key")),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='created at')),
                ('handed_over_at', models.DateTimeField(blank=True, help_text="Last time that the runner was given the job, on the database's clock.", null=True, verbose_name='handed over at')),
                ('attempt', models.PositiveSmallIntegerField(default=0, help_text='How often the work has begun.', verbose_name='attempt')),
                ('failures', models.JSONField(blank=True, default=list, encoder=django.core.serializers.json.DjangoJSONEncoder, help_text='Number, start, end and error of the attempts before the last one.', verbose_name='failed attempts')),
                ('token', models.CharField(blank=True, editable=False, help_text='Of the attempt that alone may write to the row.', max_length=23, verbose_name='token')),
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
                ('object_name', models.CharField(help_text='What the attempt saves its file as: the file path, unless one has failed.', max_length=512, verbose_name='object name')),
                ('object_key', models.CharField(blank=True, db_index=True, editable=False, help_text='Stands for the object name in its storage.', max_length=64, verbose_name='object key')),
                ('path_key', models.CharField(editable=False, help_text='Reserves the object name while anybody may write or delete there.', max_length=64, null=True, unique=True, verbose_name='path key')),
                ('file', django_infra.exporter.models.fields.ExportFileField(blank=True, max_length=512, upload_to='', verbose_name='file')),
                ('file_size', models.PositiveBigIntegerField(blank=True, help_text='In bytes.', null=True, verbose_name='file size')),
                ('checksum', models.CharField(blank=True, help_text='SHA-256 of the file, in hexadecimal.', max_length=64, verbose_name='checksum')),
                ('file_facts', models.JSONField(blank=True, default=dict, editable=False, help_text='What the storage told of the file, saved under a path that was asked for.', verbose_name='facts of the file')),
                ('expires_at', models.DateTimeField(blank=True, null=True, verbose_name='expires at')),
                ('file_deleted_at', models.DateTimeField(blank=True, help_text='When the file had expired, or was found to be gone.', null=True, verbose_name='file deleted at')),
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
        migrations.CreateModel(
            name='Leftover',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('storage_alias', models.CharField(max_length=100, verbose_name='storage alias')),
                ('object_name', models.CharField(max_length=512, verbose_name='object name')),
                ('object_key', models.CharField(help_text='Stands for the object name in its storage.', max_length=64, unique=True, verbose_name='object key')),
                ('upload_id', models.TextField(blank=True, help_text='Of an upload that could not be aborted.', verbose_name='upload id')),
                ('export_id', models.CharField(db_index=True, max_length=100, verbose_name='export id')),
                ('attempt', models.PositiveSmallIntegerField(verbose_name='attempt')),
                ('began_at', models.DateTimeField(blank=True, help_text='Uploads that have begun before are of others; empty if there are no others.', null=True, verbose_name='began at')),
                ('file_facts', models.JSONField(blank=True, default=dict, help_text='What the storage told of the file, to know it again.', verbose_name='facts of the file')),
                ('max_size', models.PositiveBigIntegerField(blank=True, help_text='Of the file in bytes, if it is whole.', null=True, verbose_name='max size')),
                ('saved_by', models.DateTimeField(default=django.utils.timezone.now, help_text='What the storage has got later is of others.', verbose_name='saved by')),
                ('tried_at', models.DateTimeField(blank=True, help_text="When a deletion has begun, on the database's clock.", null=True, verbose_name='tried at')),
            ],
            options={
                'verbose_name': 'leftover',
                'verbose_name_plural': 'leftovers',
                'default_permissions': (),
            },
        ),
    ]
