# All that serves: nginx's sites, a vassal and its emperor, two services with units of their own.
file { '/etc/uwsgi-emperor/vassals/shop.ini':
  ensure => file,
  source => '/etc/puppet/code/shop.ini',
}
file { ['/etc/systemd/system/desk.service', '/etc/systemd/system/till.service']:
  ensure => file,
  mode   => '0644',
}
file { '/etc/nginx/conf.d/near.conf':
  ensure => file,
  source => '/etc/puppet/code/near.conf',
  notify => Service['nginx'],
}
file { '/etc/nginx/conf.d/managed.conf':
  ensure => file,
  source => '/etc/puppet/code/managed.conf',
  notify => Service['nginx'],
}
service { ['desk', 'till']:
  ensure  => running,
  enable  => true,
  require => File['/etc/systemd/system/desk.service', '/etc/systemd/system/till.service'],
}
service { ['nginx', 'cron', 'uwsgi-emperor']:
  ensure => running,
}
