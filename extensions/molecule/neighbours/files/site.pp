file { '/etc/uwsgi-emperor/vassals/shop.ini':
  ensure => file,
  source => '/etc/puppet/code/shop.ini',
}
service { 'cron':
  ensure => running,
}
